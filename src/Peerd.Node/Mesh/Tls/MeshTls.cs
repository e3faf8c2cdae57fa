using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Grpc.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Mesh.Tls;

/// <summary>
/// Mutual TLS of the mesh, or its absence. Each connection is made with the files as they are at that moment; connections
/// that are up stay so as long as these are valid, see <see cref="CertifiedConnections"/>. Thread-safe.
/// </summary>
internal sealed partial class MeshTls
{
    /// <summary>Clear text.</summary>
    public static readonly MeshTls Off = new(new MeshTlsOptions(), self: null, TimeProvider.System, refused: null, NullLogger.Instance);

    private static readonly TimeSpan MostWarning = TimeSpan.FromDays(30);
    private static readonly TimeSpan RefusalPause = TimeSpan.FromMinutes(1);

    private readonly MeshTlsOptions _options;
    private readonly MeshNames _names;
    private readonly string? _self;
    private readonly TimeProvider _time;
    private readonly Action<string>? _refused;
    private readonly ILogger _logger;
    private volatile MeshIdentity? _identity;
    private string? _broken;
    private string? _warnedOf;
    private long _refusalLogged = long.MinValue;

    /// <summary>Reads the files, if there are any.</summary>
    /// <param name="options">Valid options.</param>
    /// <param name="self">Name of this node; null for a command.</param>
    /// <param name="time">Clock.</param>
    /// <param name="refused">Hears of each member that was refused: <c>caller</c> or <c>callee</c>.</param>
    /// <param name="logger">For what an operator must know.</param>
    /// <exception cref="OptionsValidationException">The files cannot be used.</exception>
    public MeshTls(MeshTlsOptions options, string? self, TimeProvider time, Action<string>? refused, ILogger logger)
    {
        _options = options;
        _names = new MeshNames(options.Domain, options.NamesNodes);
        (_self, _time, _refused, _logger) = (self, time, refused, logger);
        if (!options.IsOn)
        {
            return;
        }

        try
        {
            _identity = Read();
        }
        catch (MeshTlsException e)
        {
            throw new OptionsValidationException(MeshTlsOptions.Section, typeof(MeshTlsOptions), [e.Message]);
        }

        WarnOfExpiry(_identity);
    }

    /// <summary>False: the mesh speaks in clear text.</summary>
    public bool IsOn => _identity is not null;

    /// <summary>Each caller's certificate says which member it is, see <see cref="EnsureCallerIs"/>.</summary>
    public bool ProvesNames => IsOn && _names.AreOfNodes;

    /// <summary>When the certificate of the moment expires; null in clear text.</summary>
    public DateTimeOffset? Expires => _identity?.Expires;

    /// <summary>The certificate of the moment; another one after the files have changed.</summary>
    public MeshIdentity Identity => _identity ?? throw new InvalidOperationException("the mesh speaks in clear text");

    /// <summary>Looks whether the files have changed. Not to be called concurrently.</summary>
    public void Refresh()
    {
        if (_identity is not { } identity)
        {
            return;
        }

        try
        {
            var fresh = Read();
            if (fresh.Hash != identity.Hash)
            {
                if (fresh.IsOutOfTime && !identity.IsOutOfTime)
                {
                    throw new MeshTlsException(nameof(_options.Certificate), _options.Certificate, "it is expired, or not valid yet");
                }

                _identity = identity = fresh;
                Log.Taken(_logger, fresh.Expires);
            }

            _broken = null;
        }
        catch (MeshTlsException e)
        {
            // The same trouble is told once.
            if (_broken != e.Message)
            {
                _broken = e.Message;
                Log.Broken(_logger, e.Message);
            }
        }

        WarnOfExpiry(identity);
    }

    /// <summary>For one connection that comes in.</summary>
    /// <param name="connection">Hears what its member shows.</param>
    public SslServerAuthenticationOptions ServerOptions(CertifiedConnection connection)
    {
        var identity = Identity;
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = identity.Certificate,
            ClientCertificateRequired = true,
            CertificateChainPolicy = identity.ChainPolicy,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                if (Fault(certificate, errors, node: null) is { } fault)
                {
                    return Refuse("caller", fault);
                }

                connection.Show(chain!, identity);
                return true;
            },
            EnabledSslProtocols = SslProtocols.Tls13,
            ApplicationProtocols = [SslApplicationProtocol.Http2],

            // A session that goes on would skip the checks above.
            AllowTlsResume = false,
            AllowRenegotiation = false,
        };
    }

    /// <summary>For connections that go out.</summary>
    /// <param name="identity">The certificate to show.</param>
    /// <param name="node">The member that is meant; null for any.</param>
    public SslClientAuthenticationOptions ClientOptions(MeshIdentity identity, string? node) => new()
    {
        ClientCertificateContext = identity.Certificate,
        CertificateChainPolicy = identity.ChainPolicy,
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        RemoteCertificateValidationCallback = (_, certificate, _, errors) => TakesCallee(Fault(certificate, errors, node)),
        EnabledSslProtocols = SslProtocols.Tls13,
        AllowTlsResume = false,
        AllowRenegotiation = false,
    };

    /// <summary>Refuses a call whose caller says that it is another node than its certificate says.</summary>
    /// <param name="call">The call.</param>
    /// <param name="node">Who the caller says he is.</param>
    /// <exception cref="RpcException">It is another one.</exception>
    public void EnsureCallerIs(ServerCallContext call, string node)
    {
        if (IsOn && _names.AreOfNodes && !(call.GetHttpContext().Connection.ClientCertificate is { } certificate && _names.IsOf(certificate, node)))
        {
            Refuse("caller", $"it is not that of '{node}', who the caller says he is");
            throw new RpcException(new Status(StatusCode.PermissionDenied, $"the certificate lacks {_names.Wanted(node)}"));
        }
    }

    /// <summary>What is wrong with a certificate; null when nothing is.</summary>
    private string? Fault(X509Certificate? certificate, SslPolicyErrors errors, string? node)
    {
        // Addresses change, and are no names: what the framework compares with the name in the URL means nothing here.
        errors &= ~SslPolicyErrors.RemoteCertificateNameMismatch;
        return certificate is not X509Certificate2 whole ? "there is none"
            : errors != SslPolicyErrors.None ? "it is expired, or does not lead to the authority of the mesh"
            : !_names.IsOf(whole, node) ? $"it lacks {_names.Wanted(node)}"
            : null;
    }

    // Thrown, the fault reaches whoever reads why the connection failed.
    private bool TakesCallee(string? fault) => fault is null || Refuse("callee", fault)
        ? true
        : throw new AuthenticationException($"the certificate of the node was refused: {fault}");

    private bool Refuse(string side, string fault)
    {
        _refused?.Invoke(side);

        // Whoever knocks must not fill the log.
        var now = _time.GetTimestamp();
        var logged = Volatile.Read(ref _refusalLogged);
        if ((logged == long.MinValue || _time.GetElapsedTime(logged, now) > RefusalPause) && Interlocked.CompareExchange(ref _refusalLogged, now, logged) == logged)
        {
            Log.Refused(_logger, side, fault);
        }

        return false;
    }

    private MeshIdentity Read()
    {
        var files = MeshFiles.Read(_options);
        while (true)
        {
            try
            {
                return _identity is { } same && same.Hash == files.Hash ? same : MeshIdentity.Create(files, _options, _names, _self);
            }
            catch (MeshTlsException)
            {
                // The files may have been replaced while they were read one by one.
                var again = MeshFiles.Read(_options);
                if (again.Hash == files.Hash)
                {
                    throw;
                }

                files = again;
            }
        }
    }

    private void WarnOfExpiry(MeshIdentity identity)
    {
        var left = identity.Expires - _time.GetUtcNow();
        var warning = identity.Lifetime / 4 < MostWarning ? identity.Lifetime / 4 : MostWarning;
        var word = left > warning && !identity.IsOutOfTime ? null : left > TimeSpan.Zero && !identity.IsOutOfTime ? $"near {identity.Hash}" : $"over {identity.Hash}";
        if (word is null || _warnedOf == word)
        {
            return;
        }

        _warnedOf = word;
        if (word.StartsWith("near", StringComparison.Ordinal))
        {
            Log.ExpiresSoon(_logger, identity.Expires);
        }
        else
        {
            Log.Expired(_logger, identity.Expires);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Connections of the mesh are made with the new certificate, which is valid until {Expires:u}")]
        public static partial void Taken(ILogger logger, DateTimeOffset expires);

        [LoggerMessage(2, LogLevel.Warning, "The former certificate of the mesh stays in use: {Reason}")]
        public static partial void Broken(ILogger logger, string reason);

        [LoggerMessage(3, LogLevel.Warning, "The certificate of a {Side} was refused: {Fault}. Others may have been since, see peerd_mesh_tls_refused_total")]
        public static partial void Refused(ILogger logger, string side, string fault);

        [LoggerMessage(4, LogLevel.Warning, "The certificate of the mesh, or its authority, expires at {Expires:u} and should have been renewed by now")]
        public static partial void ExpiresSoon(ILogger logger, DateTimeOffset expires);

        [LoggerMessage(5, LogLevel.Warning, "The certificate of the mesh is not valid now, it ends at {Expires:u}: other members refuse this node, and it reads from the origin")]
        public static partial void Expired(ILogger logger, DateTimeOffset expires);
    }
}
