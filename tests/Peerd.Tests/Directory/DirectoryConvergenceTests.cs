using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

/// <summary>After any sequence of events the directories come to what the nodes really hold.</summary>
public sealed class DirectoryConvergenceTests
{
    private static readonly string[] Names = ["a", "b", "c"];

    private static readonly Gen<(int Kind, int Node, int Choice)[]> GenEvents =
        Gen.Select(Gen.Int[0, 13], Gen.Int[0, Names.Length - 1], Gen.Int[0, 1 << 20]).Array[0, 60];

    [Fact]
    public void AnyEvents_ThenQuiet_DirectoriesKnowWhatIsHeld() => GenEvents.Sample(events => new Run().Play(events), iter: 1000);

    /// <summary>Three nodes that hold, two that keep a directory, and a ring that says which of them keep which content.</summary>
    private sealed class Run
    {
        private const int Owners = 2;

        private readonly FakeTimeProvider _time = new();
        private readonly Content[] _contents = [.. Enumerable.Range(0, 4).Select(i => new Content(Digest.OfSha256([(byte)i]), new ContentLayout((i + 1) * 64 * 1024)))];
        private readonly HolderDirectory[] _directories;
        private readonly int[] _responsible;
        private readonly Holding[] _nodes;

        public Run()
        {
            _directories = [.. Enumerable.Range(0, Owners).Select(_ => new HolderDirectory(_time))];
            _responsible = [.. _contents.Select(_ => 3)];
            _nodes = [.. Names.Select(name => new Holding(this, name))];
        }

        public void Play((int Kind, int Node, int Choice)[] events)
        {
            foreach (var (kind, node, choice) in events)
            {
                Step(kind, _nodes[node], new Random(choice));
            }

            Settle();
            foreach (var node in _nodes)
            {
                for (var owner = 0; owner < Owners; owner++)
                {
                    foreach (var (content, index) in _contents.Select((content, index) => (content, index)))
                    {
                        var known = _directories[owner].Find(content.Digest, node.Name);
                        var truth = node.IsGone ? null : node.HeldFor(owner, index);
                        Assert.Equal(truth?.Complete, known?.Complete);
                        Assert.Equal(truth?.Pieces.Runs(), known?.Pieces.Runs());
                    }
                }
            }
        }

        private void Step(int kind, Holding node, Random random)
        {
            var content = random.Next(_contents.Length);
            var owner = random.Next(Owners);
            switch (kind)
            {
                case 0 or 1 or 2:
                    node.Gain(content, random);
                    break;
                case 3:
                    node.Lose(content, random);
                    break;
                case 4:
                    node.Complete(content);
                    break;
                case 5 or 6:
                    node.Say(owner);
                    break;
                case 7:
                    node.Break(owner, isNoticed: random.Next(2) == 0);
                    break;
                case 8:
                    node.Connect(owner, isSynchronized: random.Next(3) > 0);
                    break;
                case 9:
                    _responsible[content] = random.Next(1, 1 << Owners);
                    foreach (var each in _nodes)
                    {
                        each.RingChanged(content);
                    }

                    break;
                case 10:
                    node.Restart();
                    break;
                case 11:
                    node.Leave();
                    break;
                case 12:
                    node.Report(owner, content, random);
                    break;
                case 13:
                    _time.Advance(TimeSpan.FromSeconds(random.Next(7)));
                    Sweep();
                    break;
            }
        }

        private void Settle()
        {
            foreach (var node in _nodes)
            {
                node.Settle();
            }

            _time.Advance(HolderDirectory.Grace);
            Sweep();
        }

        private void Sweep()
        {
            foreach (var directory in _directories)
            {
                directory.Sweep();
            }
        }

        private sealed record Content(Digest Digest, ContentLayout Layout);

        /// <summary>One node: what it holds, and its stream to each owner.</summary>
        private sealed class Holding(Run run, string name)
        {
            private readonly HeldContent?[] _held = new HeldContent?[run._contents.Length];
            private readonly Stream?[] _streams = new Stream?[Owners];
            private readonly List<HolderDirectory.Lease> _halfDead = [];
            private ulong _incarnation = 1;

            public string Name { get; } = name;

            public bool IsGone { get; private set; }

            public HeldContent? HeldFor(int owner, int content) => (run._responsible[content] & (1 << owner)) != 0 ? _held[content] : null;

            public void Gain(int content, Random random)
            {
                var layout = run._contents[content].Layout;
                var pieces = _held[content]?.Pieces.Clone() ?? new PieceSet(layout.PieceCount);
                pieces.AddRun(random.Next(layout.PieceCount), random.Next(1, 3));
                Hold(content, new HeldContent(layout.Size, null, _held[content]?.Complete ?? false, pieces));
            }

            public void Lose(int content, Random random)
            {
                if (_held[content] is { } held && random.Next(2) == 0)
                {
                    var pieces = held.Pieces.Clone();
                    pieces.Remove(random.Next(pieces.Capacity));
                    Hold(content, pieces.Count == 0 ? null : held with { Complete = held.Complete && pieces.IsFull, Pieces = pieces });
                }
                else
                {
                    Hold(content, null);
                }
            }

            public void Complete(int content)
            {
                var layout = run._contents[content].Layout;
                var pieces = new PieceSet(layout.PieceCount);
                pieces.Fill();
                Hold(content, new HeldContent(layout.Size, "type", Complete: true, pieces));
            }

            public void Say(int owner)
            {
                if (_streams[owner] is not { } stream)
                {
                    return;
                }

                foreach (var batch in stream.Log.Batches(stream.Changed.Select(content => run._contents[content].Digest), digest => HeldFor(owner, IndexOf(digest))))
                {
                    stream.Lease.Apply(batch);
                }

                stream.Changed.Clear();
            }

            public void Break(int owner, bool isNoticed)
            {
                if (_streams[owner] is not { } stream)
                {
                    return;
                }

                _streams[owner] = null;
                if (isNoticed)
                {
                    stream.Lease.Dispose();
                }
                else
                {
                    _halfDead.Add(stream.Lease);
                }
            }

            public void Connect(int owner, bool isSynchronized)
            {
                if (IsGone || _streams[owner] is not null)
                {
                    return;
                }

                var lease = run._directories[owner].OpenLease(new Member { Node = Name, Incarnation = _incarnation });
                Assert.NotNull(lease);
                _streams[owner] = new Stream(lease, new AnnouncementLog(run._contents.Select(content => content.Digest).ToHashSet()), [.. Enumerable.Range(0, _held.Length)]);
                if (isSynchronized)
                {
                    Say(owner);
                    lease.Apply(new AnnounceRequest { Synchronized = true });
                    SendLate();
                }
            }

            /// <summary>What was on its way on a stream that the node has given up arrives after all.</summary>
            private void SendLate()
            {
                foreach (var lease in _halfDead)
                {
                    lease.Apply(new AnnounceRequest
                    {
                        Contents = { new Availability { Digest = run._contents[0].Digest.ToString(), Size = run._contents[0].Layout.Size, Complete = true } },
                        Withdrawn = { run._contents[1].Digest.ToString() },
                    });
                }
            }

            public void RingChanged(int content)
            {
                foreach (var stream in _streams)
                {
                    stream?.Changed.Add(content);
                }
            }

            public void Restart()
            {
                for (var owner = 0; owner < Owners; owner++)
                {
                    Break(owner, isNoticed: false);
                }

                _incarnation++;
                IsGone = false;
                for (var owner = 0; owner < Owners; owner++)
                {
                    Connect(owner, isSynchronized: true);
                    Assert.Null(run._directories[owner].OpenLease(new Member { Node = Name, Incarnation = _incarnation - 1 }));
                }
            }

            public void Leave()
            {
                for (var owner = 0; owner < Owners; owner++)
                {
                    if (_streams[owner] is { } stream)
                    {
                        Say(owner);
                        stream.Lease.Apply(new AnnounceRequest { Synchronized = true });
                        stream.Lease.Leave();
                        Assert.DoesNotContain(run._contents, content => run._directories[owner].Find(content.Digest, Name) is not null);
                        stream.Lease.Dispose();
                        _streams[owner] = null;
                    }
                }

                IsGone = true;
            }

            /// <summary>A piece arrives during a download: the Lookup stream tells it first, the Announce stream follows.</summary>
            public void Report(int owner, int content, Random random)
            {
                if (IsGone || (run._responsible[content] & (1 << owner)) == 0 || _streams[owner] is null)
                {
                    return;
                }

                var lease = run._directories[owner].OpenLease(new Member { Node = Name, Incarnation = _incarnation }, isReport: true);
                Assert.NotNull(lease);
                Gain(content, random);
                lease.Apply(new AnnounceRequest
                {
                    Contents =
                    {
                        new Availability { Digest = run._contents[content].Digest.ToString(), Size = run._contents[content].Layout.Size, Pieces = { _held[content]!.Pieces.ToPieceRuns() } },
                    },
                });
                Say(owner);
                lease.Dispose();
            }

            /// <summary>Streams that broke are opened again and everything is said; unless the node has gone for good.</summary>
            public void Settle()
            {
                for (var owner = 0; owner < Owners; owner++)
                {
                    Say(owner);
                    if (_streams[owner] is { } stream)
                    {
                        stream.Lease.Apply(new AnnounceRequest { Synchronized = true });
                    }

                    Connect(owner, isSynchronized: true);
                }

                foreach (var lease in _halfDead)
                {
                    lease.Dispose();
                }
            }

            private void Hold(int content, HeldContent? held)
            {
                _held[content] = held;
                foreach (var stream in _streams)
                {
                    stream?.Changed.Add(content);
                }
            }

            private int IndexOf(Digest digest) => Array.FindIndex(run._contents, content => content.Digest == digest);

            private sealed record Stream(HolderDirectory.Lease Lease, AnnouncementLog Log, HashSet<int> Changed);
        }
    }
}
