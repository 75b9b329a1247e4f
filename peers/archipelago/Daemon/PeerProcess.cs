using System.Reflection;
using System.Text.Json.Nodes;
using Archipelago.Cli.Peers;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Logging;
using Archipelago.Runtime.Metrics;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Cli.Daemon;

/// <summary>
/// A process that hosts peers: what <c>up</c> and <c>run</c> are. One reactor thread for all of them; the control plane, logs and
/// metrics have their own threads. <see cref="RunAsync"/> is the whole life.
/// </summary>
internal sealed partial class PeerProcess
{
    /// <summary>A failed start waits for so long for its peers to come to rest.</summary>
    private static readonly TimeSpan UndoLimit = TimeSpan.FromSeconds(10);

    private readonly DaemonConfig _config;
    private readonly string _name;
    private readonly IReadOnlyList<(PeerKind Kind, MadePeer Made)> _made;
    private readonly bool _standsAlone;
    private readonly LoggingSetup _logging;
    private readonly ILogger _log;
    private readonly MetricsRegistry _metrics = new();
    private readonly ProcessStatus _status;
    private readonly SdNotify _manager = SdNotify.FromEnvironment();
    private readonly ShutdownSignal _signal = new();
    private readonly OperatorPeer _operator = new();
    private Segment _segment = null!;
    private bool _madeSegment;
    private SegmentMemory _memory = null!;
    private ReactorThread _reactor = null!;
    private PeerHost _host = null!;

    /// <summary>A process of these peers. <paramref name="standsAlone"/>: <c>up</c>, which makes the first volume and says how to attach.</summary>
    /// <exception cref="Runtime.Configuration.ConfigException">The configuration is wrong; nothing was done.</exception>
    internal PeerProcess(DaemonConfig config, string name, IReadOnlyList<PeerKind> kinds, bool standsAlone)
    {
        (_config, _name, _standsAlone) = (config, name, standsAlone);
        _made = config.Prepare(name, kinds);
        _logging = LoggingSetup.Create(config.Log);
        _log = _logging.Factory.CreateLogger("archipelago");
        _status = new ProcessStatus(name, Version, SystemClock.Instance);
    }

    /// <summary>What <c>up</c> says when all runs is for programs.</summary>
    internal bool GreetsInJson { get; init; }

    /// <summary>Version of this build.</summary>
    internal static string Version { get; } = typeof(PeerProcess).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>Starts the peers, serves until told to stop, and brings them to rest. Returns the exit code.</summary>
    internal async Task<int> RunAsync()
    {
        _logging.AddMetrics(_metrics);
        _signal.Signalled += (_, ordinal) =>
        {
            if (ordinal > 1) _log.LogWarning("{Hint}", ShutdownSignal.Hint);
        };
        (_segment, _madeSegment) = SegmentOpener.Open(_config.SegmentPath, () => _config.SegmentSizes([.. _made.Select(m => m.Kind)]), _log);
        // Before anything is bound, and not undone: the segment is as it was.
        StoreRecord.Claim(_segment, [.. _made.Where(m => m.Kind.Store is not null).Select(m => m.Kind.Store!(m.Kind, _config.Config[m.Kind.Section]))]);
        _reactor = new ReactorThread(_config.ReactorOptions, _config.Core);
        try
        {
            _memory = new SegmentMemory(_segment, _log);
            _memory.Lock(_config.Lock);
            await _reactor.Ready;
            _host = new PeerHost(_reactor.Reactor, _segment, _logging.Factory);
            await using var control = await ControlServer.StartAsync(
                _config.Control(_name), _status, _metrics, _logging.Factory,
                _made.Select(m => m.Made.Endpoints).OfType<IControlEndpoints>().Append(new DaemonEndpoints(this)));
            using var exporter = OtlpExport.Start(_config.Metrics, $"{Environment.MachineName}:{_name}", Version);
            await UnlessSignalled(_reactor.Reactor.CallAsync(StartPeersAsync));
            var firstVolume = MakeFirstVolumeAsync();
            await UnlessSignalled(firstVolume);
            _status.State = "running";
            _manager.Ready();
            _log.LogInformation("running: {Peers}; control plane {Socket}", string.Join(", ", _made.Select(m => m.Kind.Name)), control.SocketPath);
            if (_standsAlone) await GreetAsync(control.SocketPath, storeAnswers: await firstVolume);
            // Last: whoever waits for the start sees it by this.
            _config.State.Announce(control.SocketPath);
            using var watchdog = StartWatchdog();
            await ServeAsync();
        }
        catch (Exception e) when (_status.State == "starting")
        {
            await UndoStartAsync(e);
            throw;
        }
        finally
        {
            _reactor.Dispose();
            _metrics.Dispose();
            _signal.Dispose();
            _logging.Dispose();
        }

        return CommandLine.ExitCode.Ok;
    }

    private async Task GreetAsync(string socket, bool storeAnswers)
    {
        var volumes = (storeAnswers ? await VolumeNamesAsync() : []).Select(v => new VolumeUris(v, Greeting.Uris(_config, v)));
        var report = new UpReport(Environment.ProcessId, socket, _config.State.Path, _config.SegmentPath, null, [.. volumes]);
        if (GreetsInJson) CommandLine.Invocation.WriteJson(report, DaemonJson.Default.UpReport);
        else Greeting.Print(report);
    }

    private async Task StartPeersAsync()
    {
        foreach (var (kind, made) in _made)
        {
            string? serves = _config.RouteOf(kind);
            var context = await _host.StartAsync(new PeerPlan
            {
                Name = kind.Name,
                Peer = made.Peer,
                Serves = serves,
                Pages = made.Pages,
                KeepsCachePages = made.KeepsCachePages,
                QuickDeathWindow = _config.QuickDeathWindow,
            });
            PeerMetrics.Add(_metrics, kind.Name, context);
            made.AddMetrics?.Invoke(_metrics);
            _status.AddSection(kind.Name, () =>
            {
                JsonObject section = PeerMetrics.Status(context, serves);
                made.AddStatus?.Invoke(section);
                return section;
            });
            _log.LogInformation("peer started: {Peer}, port {Port}, {Pages} pages, serves {Route}", kind.Name, context.Port.Number, made.Pages, serves ?? "no route");
        }

        _status.AddSection("segment", () =>
        {
            var section = new JsonObject { ["directory"] = _segment.DirectoryPath, ["dirtyPages"] = _segment.DirtyPages() };
            _memory.AddTo(section);
            return section;
        });
        await _host.StartAsync(new PeerPlan { Name = $"operator.{Environment.ProcessId}", Peer = _operator, Pages = OperatorPeer.Pages, Transient = true });
    }

    /// <summary>Makes the first volume where there is none. False if the store does not answer.</summary>
    private async Task<bool> MakeFirstVolumeAsync()
    {
        if (!_standsAlone || _config.FirstVolumeName.Length == 0 || !HasVolumes) return true;
        try
        {
            if ((await VolumeNamesAsync()).Count > 0) return true;
            var answer = await _operator.AskAsync(VolumesRoute, XsegOp.Create, _config.FirstVolumeName, ControlLimit, length: _config.FirstVolumeBytes);
            if (answer.Status != Errno.EEXIST) answer.OrThrow($"first volume {_config.FirstVolumeName}");
        }
        catch (ErrnoException e) when (e.Errno == Errno.ETIMEDOUT)
        {
            // A store that is away for a while: what is there is served when it comes back.
            _log.LogWarning("the store does not answer: {Cause}. Whether there are volumes is not known; requests wait for it. If there is none: `archipelago volume create`", e.Message);
            return false;
        }

        _log.LogInformation("first volume made: {Volume}, {Bytes} bytes", _config.FirstVolumeName, _config.FirstVolumeBytes);
        return true;
    }

    private Timer? StartWatchdog()
    {
        // A sign of life of the reactor, not of the timer.
        return _manager.WatchdogInterval is { } interval
            ? new Timer(_ => _reactor.Reactor.Post(_ => _manager.Watchdog(), null), null, TimeSpan.Zero, interval / 2)
            : null;
    }

    /// <summary>The start ends with the first signal: a store that does not answer would hold it up for as long as it likes.</summary>
    private async Task UnlessSignalled(Task starting)
    {
        if (await Task.WhenAny(starting, _signal.Requested) != starting) throw new ErrnoException(Errno.EINTR, "ended by a signal");
        await starting;
    }

    private async Task<bool> StopsInTimeAsync()
    {
        var stopping = _reactor.Reactor.CallAsync(_host.StopAsync);
        if (await Task.WhenAny(stopping, Task.Delay(UndoLimit), _signal.Requested) != stopping) return false;
        await stopping;
        return true;
    }

    private async Task UndoStartAsync(Exception cause)
    {
        _log.LogError("start failed: {Cause}", cause.Message);
        try
        {
            if (_signal.Requested.IsCompleted || (_host is not null && !await StopsInTimeAsync()))
            {
                // As after a crash: what was accepted is in the segment, and nobody knows what is still under way below.
                _log.LogError("leaving without stopping the peers that were started; the segment stays, the next start takes it over");
                return;
            }

            // A segment that was there before may hold what nothing else has, also where it does not look so; and it tells why.
            _log.LogInformation("{Segment}", SegmentOpener.Remove(_segment, keep: !_madeSegment));
        }
        catch (ErrnoException e)
        {
            _log.LogError("the peers that were started cannot be stopped in order, the segment stays: {Cause}", e.Message);
        }
    }
}
