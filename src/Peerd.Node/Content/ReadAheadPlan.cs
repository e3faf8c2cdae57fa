using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Content;

/// <summary>
/// Guesses from the reads of a container what it reads next: what follows on a run of reads in order, and the next steps
/// of reads at a regular distance. Several runs may go on side by side. Pure; not thread-safe.
/// </summary>
/// <param name="size">Bytes of the content.</param>
/// <param name="budget">Bytes that all runs together may be ahead.</param>
internal sealed class ReadAheadPlan(long size, long budget)
{
    /// <summary>Runs that are followed; a new one takes the place of the one that was idle for longest.</summary>
    private const int MostRuns = 16;

    /// <summary>Reads of one run come side by side and overtake each other by so much; smaller gaps belong to it.</summary>
    private const long Slack = 512 * 1024;

    /// <summary>A run that was read for so many bytes is expected to go on.</summary>
    private const long LeastRun = 96 * 1024;

    /// <summary>Jumps of the same length that make a stride.</summary>
    private const int JumpsOfStride = 2;

    /// <summary>Steps of a stride that are fetched ahead.</summary>
    private const int StepsAhead = 4;

    private readonly List<Run> _runs = [];
    private ByteRange _lastJump;
    private OriginReference _lastJumper = OriginReference.None;
    private long _stride;
    private int _jumps;

    /// <summary>Bytes to have ready, the most likely first; may be here already. With where the client would read them that is expected to.</summary>
    public IEnumerable<(ByteRange Bytes, OriginReference Origin)> Ahead
    {
        get
        {
            var left = budget;
            foreach (var run in _runs)
            {
                // As far ahead as it has come already: a run that ends soon has cost little.
                var length = Math.Min(Math.Min(run.Read, left), size - run.Next);
                if (run.Read >= LeastRun && length > 0)
                {
                    left -= length;
                    yield return (new ByteRange(run.Next, length), run.Reader);
                }
            }

            for (var step = 1; _jumps >= JumpsOfStride && step <= StepsAhead; step++)
            {
                var start = _lastJump.Offset + (step * _stride);
                var length = Math.Min(Math.Min(_lastJump.Length, left), size - start);
                if (start < 0 || length <= 0)
                {
                    yield break;
                }

                left -= length;
                yield return (new ByteRange(start, length), _lastJumper);
            }
        }
    }

    /// <summary>The container reads these bytes, and would do so at this origin. Returns the byte up to which <see cref="Ahead"/> has become wider by that; 0 when it has not.</summary>
    public long Read(ByteRange bytes, OriginReference origin)
    {
        // What another has read says nothing of this one, unless both may be served alike.
        var index = _runs.FindIndex(run => run.Reader.Serves(origin) && bytes.Offset >= run.Next - Slack && bytes.Offset <= run.Next + Slack);
        if (index >= 0)
        {
            var run = _runs[index];
            _runs.RemoveAt(index);
            var grown = new Run(Math.Max(run.Next, bytes.End), run.Read + bytes.Length, origin);
            _runs.Insert(0, grown);
            return grown.Read < LeastRun ? 0 : grown.Next + Math.Min(grown.Read, budget);
        }

        Jumped(bytes, origin);
        if (_runs.Count == MostRuns)
        {
            _runs.RemoveAt(MostRuns - 1);
        }

        _runs.Insert(0, new Run(bytes.End, bytes.Length, origin));
        return _jumps >= JumpsOfStride ? bytes.End : 0;
    }

    private void Jumped(ByteRange bytes, OriginReference origin)
    {
        var jump = bytes.Offset - _lastJump.Offset;
        _jumps = jump == _stride && _lastJumper.Serves(origin) ? _jumps + 1 : 1;
        _stride = jump;
        (_lastJump, _lastJumper) = (bytes, origin);
    }

    /// <param name="Next">The byte behind the furthest that was read.</param>
    /// <param name="Read">Bytes read so far.</param>
    /// <param name="Reader">Where the client would read that read last.</param>
    private readonly record struct Run(long Next, long Read, OriginReference Reader);
}
