using System.Diagnostics.Metrics;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Mesh.Tls;

/// <summary>Looks at the files again and again: where secrets are mounted they are replaced by way of links, which file watchers miss. Then at the connections that were made with others.</summary>
internal sealed class MeshTlsRefresh : BackgroundService
{
    private readonly MeshTls _tls;
    private readonly CertifiedConnections _connections;
    private readonly TimeSpan _period;
    private readonly TimeProvider _time;

    public MeshTlsRefresh(MeshTls tls, CertifiedConnections connections, IOptions<MeshTlsOptions> options, IMeterFactory meters, TimeProvider time)
    {
        (_tls, _connections, _period, _time) = (tls, connections, options.Value.ReloadValue, time);
        if (tls.IsOn)
        {
            meters.Create("Peerd").CreateObservableGauge(
                "peerd.mesh.certificate.expiry.timestamp",
                () => tls.Expires?.ToUnixTimeSeconds() ?? 0,
                "s",
                "When the certificate of the mesh expires, or one of those that it depends on: seconds since 1970-01-01 UTC.");
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!_tls.IsOn)
        {
            return;
        }

        using var timer = new PeriodicTimer(_period, _time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            _tls.Refresh();
            _connections.EndInvalid(_tls.Identity);
        }
    }
}
