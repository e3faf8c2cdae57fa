using System.Diagnostics.CodeAnalysis;
using System.Net;
using Grpc.AspNetCore.Server.Model;
using Grpc.Health.V1;
using Grpc.Reflection;
using Grpc.Reflection.V1Alpha;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Options;
using OpenTelemetry.Metrics;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Content;
using Peerd.Node.Directory;
using Peerd.Node.Facade;
using Peerd.Node.Hosting.Events;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Origin;
using Peerd.Node.Ring;
using Peerd.Node.Storage;
using Peerd.Node.Storage.Containerd;
using Peerd.Node.Swarm;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Hosting;

/// <summary>Puts one node together: configuration, features, listeners.</summary>
internal static partial class NodeHost
{
    /// <summary>Kestrel waits this much longer than requests may take to end; by default the whole stop stays under 10 s.</summary>
    internal static readonly TimeSpan StopReserve = TimeSpan.FromSeconds(3);

    /// <summary>The builder has settings files of its own, which it would watch although they are not used.</summary>
    private static readonly string[] WithoutReload = ["--hostBuilder:reloadConfigOnChange=false"];

    /// <summary>A node that is ready to be started.</summary>
    /// <param name="settings">Arguments of the form <c>--Peerd:Section:Key=value</c>.</param>
    /// <param name="config">JSON file read after <c>appsettings.json</c> and again when it changes.</param>
    /// <param name="customize">Changes services after all others were added.</param>
    public static WebApplication Create(string[] settings, FileInfo? config, Action<WebApplicationBuilder>? customize = null)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory, Args = WithoutReload });
        Configure(builder.Configuration, settings, config);
        ConfigurationKeys.Check(builder.Configuration);
        AddLogging(builder);
        var services = builder.Services;
        services.TryAddSingleton(TimeProvider.System);
        AddHandover(services);
        AddListeners(builder);
        services.AddTelemetry(builder.Configuration, NodeServer.Version, provider => provider.GetRequiredService<NodeIdentity>().Name);

        services.AddPieceCache(builder.Configuration);
        services.AddContainerdStore(builder.Configuration);
        services.AddOrigin(builder.Configuration);
        services.AddMembership(SelfFrom, static provider => !provider.GetRequiredService<PieceCache>().IsReleased);
        services.AddRing();
        AddMesh(services);
        services.AddSingleton<ServedBytes>();
        services.AddSingleton<IContentReader, ContentReader>();
        AddHosted<BlobStreams>(services);
        services.AddFacade(builder.Configuration);
        AddEvents(services);
        customize?.Invoke(builder);

        var app = builder.Build();

        // Listens from now on, or the zeros would be missed that the instruments begin with.
        app.Services.GetRequiredService<MeterProvider>();
        app.Services.GetRequiredService<ServedBytes>();
        Map(app);
        TellOfOpenMesh(app.Services);
        TellOfUnreadSettings(builder.Configuration, app.Services.GetRequiredService<ILoggerFactory>().CreateLogger<SettingsFile>());
        app.Lifetime.ApplicationStarted.Register(() => ThreadPool.QueueUserWorkItem(static _ => FrameChecksum.WarmUp()));
        return app;
    }

    private static void Configure(ConfigurationManager configuration, string[] settings, FileInfo? config)
    {
        configuration.Sources.Clear();
        AddFile(configuration, Path.Combine(AppContext.BaseDirectory, "appsettings.json"), isOptional: true);
        if (config is not null)
        {
            AddFile(configuration, config.FullName, isOptional: false);
        }

        configuration.AddEnvironmentVariables();
        configuration.AddCommandLine(settings);
    }

    private static void AddFile(ConfigurationManager configuration, string path, bool isOptional)
    {
        var source = new SettingsFile { Path = path, Optional = isOptional };
        source.ResolveFileProvider();
        if (source.FileProvider is PhysicalFileProvider folder)
        {
            // A user of a host has 128 inotify instances by default, and on many nodes they are all taken.
            folder.UsePollingFileWatcher = folder.UseActivePolling = true;
        }

        configuration.Sources.Add(source);
    }

    // In clear text who reaches the mesh is not asked who he is.
    private static void TellOfOpenMesh(IServiceProvider services)
    {
        if (!services.GetRequiredService<MeshTls>().IsOn
            && services.GetRequiredService<IOptions<MeshOptions>>().Value.Listen is var listen && ListenAddress.TryParse(listen, out var address) && !IPAddress.IsLoopback(address.Address))
        {
            Log.OpenMesh(services.GetRequiredService<ILoggerFactory>().CreateLogger<Listeners>(), listen);
        }
    }

    private static void TellOfUnreadSettings(ConfigurationManager configuration, ILogger logger)
    {
        foreach (var file in configuration.Sources.OfType<SettingsFile>())
        {
            file.Unread = failure => Log.SettingsUnread(logger, file.FullPath, failure.InnerException?.Message ?? failure.Message);
        }
    }

    private static void AddLogging(WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<LogOptions>().BindConfiguration(LogOptions.Section).ValidateOnStart();
        builder.Services.AddSingleton<IValidateOptions<LogOptions>, LogOptionsValidator>();
        var options = builder.Configuration.GetSection(LogOptions.Section).Get<LogOptions>() ?? new LogOptions();
        builder.Logging.ClearProviders();
        var time = options.Time == LogOptions.None ? null : "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";
        if (options.Format == LogOptions.Json)
        {
            builder.Logging.AddJsonConsole(console =>
            {
                console.IncludeScopes = true;
                console.UseUtcTimestamp = true;
                console.TimestampFormat = time;
            });
        }
        else
        {
            builder.Logging.AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.IncludeScopes = true;
                console.UseUtcTimestamp = true;
                console.TimestampFormat = time is null ? null : $"{time} ";
            });
        }

        var level = Enum.TryParse<LogLevel>(options.Level, ignoreCase: true, out var written) ? written : LogLevel.Information;
        builder.Logging.SetMinimumLevel(level);
        var others = level > LogLevel.Warning ? level : LogLevel.Warning;
        builder.Logging.AddFilter("Microsoft", others);
        builder.Logging.AddFilter("Grpc", others);
        // Bytes of callers that are no message would be errors of this node there, each with its stack: CallFaults tells of those that are.
        builder.Logging.AddFilter("Grpc.AspNetCore.Server.ServerCallHandler", LogLevel.None);
        // It logs requests, which is left to the facade. As long as it might, it makes a scope and a trace of each.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        // URLs of the origin may carry signatures: the client of the origin logs them redacted itself.
        builder.Logging.AddFilter("System.Net.Http", LogLevel.None);
    }

    private static void AddEvents(IServiceCollection services)
    {
        services.AddOptions<EventOptions>().BindConfiguration(EventOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<EventOptions>, EventOptionsValidator>();
        services.AddHostedService<PodEvents>();
    }

    private static void AddHandover(IServiceCollection services)
    {
        services.AddOptions<HandoverOptions>().BindConfiguration(HandoverOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<HandoverOptions>, HandoverOptionsValidator>();
        services.AddOptions<HostOptions>().Configure<IOptions<HandoverOptions>>((host, handover) => host.ShutdownTimeout =
            handover.Value.DrainTimeValue + StopReserve + (handover.Value.Enabled ? Handover.SuccessorTimeout : TimeSpan.Zero));
        services.AddSingleton<MeshDrain>();
        AddHosted<Handover>(services);
        services.AddHostedService<ProbeSocket>();
    }

    private static void AddListeners(WebApplicationBuilder builder)
    {
        var listeners = new Listeners();
        builder.Services.AddSingleton(listeners);
        builder.Services.AddSingleton<StopSignals>();
        builder.Services.AddSingleton<OwnListeners>();
        builder.Services.AddSingleton<Readiness>();
        builder.Services.AddOptions<ListenerOptions>()
            .Configure<IConfiguration>((options, configuration) =>
            {
                options.Facade = configuration["Peerd:Facade:Listen"] ?? options.Facade;
                options.Metrics = configuration["Peerd:Metrics:Listen"] ?? options.Metrics;
            })
            .ValidateOnStart();
        builder.Services.AddSingleton<IValidateOptions<ListenerOptions>, ListenerOptionsValidator>();
        var pool = new BlockPool();
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>>(pool);
        // Without the frames that the cache keeps there: they have a budget of their own, and stay until others come.
        builder.Services.AddSingleton(provider => new HeldMemory(provider.GetRequiredService<IOptions<LimitOptions>>(), () => pool.RentedBytes));
        builder.Services.AddLimits(builder.Configuration);
        builder.WebHost.ConfigureKestrel(listeners.Configure);
        builder.Services.Configure<SocketTransportOptions>(sockets => sockets.CreateBoundListenSocket = listeners.Bind);
        // Kestrel asks the last that was added first.
        builder.Services.AddSingleton<IConnectionListenerFactory, FacadeTransport>();
    }

    private static void AddMesh(IServiceCollection services)
    {
        services.AddOptions<MeshOptions>().BindConfiguration(MeshOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<MeshOptions>, MeshOptionsValidator>();
        services.AddSingleton<MeshMetrics>();
        services.AddMeshTls();
        services.AddSingleton<PeerTraffic>();
        AddHosted<PeerConnections>(services);
        services.AddSingleton(provider => new HolderDirectory(
            provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<RingSource>().Knows, provider.GetRequiredService<RingSource>().IsAt));
        services.AddSingleton<CallerStreams>();
        AddHosted<HalfSentMessages>(services);
        services.AddSingleton<UntakenAnswers>();
        services.AddSingleton<ServiceCalls>();
        services.AddSingleton<IAnnounceHandler>(provider => provider.GetRequiredService<HolderDirectory>());
        services.AddHostedService<DirectorySweeper>();
        services.AddSingleton<ICoordinationMesh, CoordinationMesh>();
        AddHosted<Coordination>(services);
        services.AddSingleton<ILookupHandler>(provider => provider.GetRequiredService<Coordination>());
        services.AddSingleton<LookupMetrics>();
        services.AddSingleton<Downloads>();
        services.AddSingleton<ContentMismatches>();
        services.AddSingleton<IDiscardHandler>(provider => provider.GetRequiredService<Downloads>());
        services.AddSingleton<IIncomingPieces>(provider => provider.GetRequiredService<Downloads>());
        AddHosted<TagFile>(services);
        AddHosted<Announcer>(services);
        services.AddSingleton<ITagMesh, TagMesh>();
        AddHosted<SmallCopies>(services);
        services.AddSingleton<RangeServer>();
        services.AddSingleton<PeerServer>();
        services.AddSingleton<NodeServer>();
        services.AddHostedService<NodeGauges>();
        services.AddHostedService<GarbageLimit>();

        services.AddSingleton<CallFaults>();
        services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = ProtocolConstants.MaxRequestBytes;
            grpc.Interceptors.Add<CallFaults>();
        });
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IServiceMethodProvider<PeerServer>, PeerServerMethods>());
        services.AddGrpcHealthChecks().AddCheck<Readiness>("ready");
        // PeerServer has no generated base class from which the service could be found.
        services.AddSingleton(new ReflectionServiceImpl(PeerService.Descriptor, NodeService.Descriptor, Health.Descriptor, ServerReflection.Descriptor));
        services.AddSingleton(new ReflectionV1ServiceImpl(PeerService.Descriptor, NodeService.Descriptor, Health.Descriptor, Grpc.Reflection.V1.ServerReflection.Descriptor));
        services.AddGrpcReflection();
    }

    private static void AddHosted<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] T>(IServiceCollection services)
        where T : class, IHostedService
    {
        services.AddSingleton<T>();
        services.AddHostedService(provider => provider.GetRequiredService<T>());
    }

    private static Membership.Member SelfFrom(IServiceProvider provider)
    {
        var identity = provider.GetRequiredService<NodeIdentity>();
        var listen = ListenAddress.Parse(provider.GetRequiredService<IOptions<MeshOptions>>().Value.Listen);
        return new Membership.Member(identity.Name, new DnsEndPoint(listen.Address.ToString(), listen.Port), identity.Zone);
    }

    private static void Map(WebApplication app)
    {
        var signals = app.Services.GetRequiredService<StopSignals>();
        app.Use(next => context => signals.LinkAsync(context, next));
        var handover = app.Services.GetRequiredService<Handover>();
        app.Use(next => context => handover.LinkAsync(context, next));
        app.MapWhen(context => Listeners.Of(context) == ListenerKind.Facade, facade => facade.MapFacade());
        var messages = app.Services.GetRequiredService<HalfSentMessages>();
        var answers = app.Services.GetRequiredService<UntakenAnswers>();
        var calls = app.Services.GetRequiredService<ServiceCalls>();
        app.MapWhen(context => Listeners.Of(context) == ListenerKind.Mesh, mesh => mesh
            .Use(next => context => calls.ServeAsync(context, next))
            .Use(next => context => messages.WatchAsync(context, next))
            .Use(next => context => answers.WatchAsync(context, next))
            .UseRouting().UseEndpoints(endpoints =>
        {
            endpoints.MapGrpcService<PeerServer>();
            endpoints.MapGrpcService<NodeServer>();
            endpoints.MapGrpcHealthChecksService();
            endpoints.MapGrpcReflectionService();
        }));
        app.UseOpenTelemetryPrometheusScrapingEndpoint();
        app.Run(context => app.Services.GetRequiredService<Readiness>().AnswerAsync(context));
    }

    private static partial class Log
    {
        [LoggerMessage(2, LogLevel.Warning, "The mesh speaks in clear text, and whoever reaches it at {Listen} gets what this node has, even if the origin would not give it to him: let only nodes reach that port, or set Peerd:Mesh:Tls")]
        public static partial void OpenMesh(ILogger logger, string listen);

        [LoggerMessage(1, LogLevel.Warning, "The settings in {File} cannot be read again, and those that were read before stay: {Reason}")]
        public static partial void SettingsUnread(ILogger logger, string file, string reason);
    }
}
