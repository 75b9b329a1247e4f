using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Recovery;
using Microsoft.Extensions.Logging;

namespace Archipelago.Radosd;

/// <summary>
/// Keeps one usable client instance: connects, takes the results on the reactor, and replaces an instance that was fenced. Results of
/// a fenced one are still taken until none is missing, then it is shut down. One reactor; what blocks runs on helper threads.
/// </summary>
internal sealed class SessionKeeper(RadosdOptions options, PeerContext context, Admission admission, RadosdStatistics statistics, Action onFenced) : IPoller
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1), LogInterval = TimeSpan.FromSeconds(30);
    private const int Batch = 64;

    private readonly List<RadosSession> _sessions = [];
    private readonly List<TaskCompletionSource<RadosSession?>> _waiting = [];
    private InstanceRecord? _record;
    private Connector? _connector;
    private RecoveryReport _left = RecoveryReport.Nothing;
    private Task? _connecting;
    private bool _released, _stopping;

    /// <summary>The instance to use; null while there is none.</summary>
    internal RadosSession? Current => admission.Session;

    /// <summary>Connects, or begins to if the options say that it may take as long as it takes.</summary>
    internal async Task StartAsync()
    {
        if (options.State.Length == 0 && !options.AllowUnfenced)
            throw new ErrnoException(Errno.EINVAL, "radosd needs a state file, by which its successor can fence it (state = FILE), or allow-unfenced = yes for data that may be lost");
        _left = context.Port.Recovered;
        if (options.State.Length > 0) _record = InstanceRecord.Open(Path.GetFullPath(options.State));
        // Not the port's own wake-up: of two pollers that are asked to park one is asked first, and its wake must count already.
        _connector = new Connector(options, _record, context.Log, () => context.Reactor.Post(static _ => { }, null));
        context.Reactor.Add(this);
        try
        {
            Use(await OpenAsync());
        }
        catch (RadosException e) when (options.Wait)
        {
            context.Log.LogWarning("{Error}; requests wait until RADOS can be used", e.Message);
            _connecting = ConnectAsync();
        }
        catch (Exception e)
        {
            context.Reactor.Remove(this);
            _record?.Dispose();
            if (e is not RadosException rados) throw;
            throw new ErrnoException(rados.Errno, $"{rados.Message}; or let radosd start and keep trying (wait = yes)", rados);
        }
    }

    /// <summary>Ends the connection. Nothing may be in flight any more.</summary>
    internal async Task StopAsync()
    {
        _stopping = true;
        if (_connecting != null) await _connecting;
        while (_sessions.Exists(session => !session.IsIdle)) await context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        admission.Session = null;
        context.Reactor.Remove(this);
        foreach (var session in _sessions) await CloseAsync(session);
        _sessions.Clear();
        if (statistics.Connected != 0) _record?.Clear();
        statistics.Connected = 0;
        _record?.Dispose();
    }

    /// <summary>From now on nobody waits in <see cref="ReadyAsync"/>.</summary>
    internal void ReleaseWaiters()
    {
        _released = true;
        foreach (var waiter in _waiting.ToArray()) waiter.SetResult(null);
        _waiting.Clear();
    }

    /// <summary>The instance to use, as soon as there is one; null when the peer stops and there is none.</summary>
    internal Task<RadosSession?> ReadyAsync()
    {
        if (_released || Current != null) return Task.FromResult(Current);
        var waiter = new TaskCompletionSource<RadosSession?>();
        _waiting.Add(waiter);
        return waiter.Task;
    }

    /// <summary>
    /// An operation of <paramref name="session"/> was refused because the instance is on the blocklist. What it has in flight ends
    /// soon, cancelled: none of it can take effect after what the next instance sends, whose operations carry a map with the fence.
    /// </summary>
    internal void Fenced(RadosSession session)
    {
        if (session.IsFenced) return;
        session.IsFenced = true;
        statistics.TimesFenced++;
        // Before anything is repeated: the next instance may send nothing for a flow whose lock it does not have.
        onFenced();
        context.Log.LogError("this RADOS client instance ({Address}) was blocklisted by somebody; making a new one, {Count} operations are repeated", session.Address, session.Queue.InFlight + 1);
        if (Current == session) admission.Session = null;
        statistics.Connected = 0;
        _connector!.AlreadyFenced = session.Address;
        session.Queue.CancelAll();
        _connecting = ConnectAsync();
    }

    /// <inheritdoc/>
    public int Poll()
    {
        int work = 0;
        for (int i = 0; i < _sessions.Count; i++)
        {
            var session = _sessions[i];
            for (int batch = 0; batch < Batch && session.Queue.TryTake(out var result); batch++, work++) Take(result);
            if (!session.IsFenced || !session.IsIdle) continue;
            _sessions.RemoveAt(i--);
            _ = ForgetAsync(session);
        }

        if (work > 0) admission.Pump();
        return work;
    }

    /// <inheritdoc/>
    public bool PrepareToPark()
    {
        bool sleep = true;
        foreach (var session in _sessions) sleep &= session.Queue.TryPark();
        return sleep;
    }

    /// <inheritdoc/>
    public void Unpark()
    {
        foreach (var session in _sessions) session.Queue.Unpark();
    }

    private void Take(in RadosResult result)
    {
        var op = (RadosOp)result.State!;
        admission.Leave(op);
        op.Result = result;
        statistics.Operations++;
        if (result.Errno is not (0 or RadosErrno.ENOENT)) statistics.Errors++;
        else if (op.Call is RadosCall.ReadPages or RadosCall.Fetch) statistics.BytesRead += result.Length;
        else if (result.Errno == 0 && op.Call is RadosCall.WritePages or RadosCall.Replace) statistics.BytesWritten += op.Bytes;
        op.Done.Set(true);
    }

    private async Task ConnectAsync()
    {
        long nextLog = 0;
        string said = "";
        while (!_stopping)
        {
            try
            {
                Use(await OpenAsync());
                context.Log.LogInformation("RADOS is in use as {Address}", Current!.Address);
                return;
            }
            catch (Exception e)
            {
                // Of whatever kind: nobody else would hear of it, and requests would wait for good.
                if (context.Reactor.Now >= nextLog || e.Message != said)
                {
                    context.Log.LogError("{Error}; requests wait, trying again", e.Message);
                    said = e.Message;
                    nextLog = context.Reactor.Now + (LogInterval.Ticks * 100);
                }

                await context.Reactor.Delay(Pause);
            }
        }
    }

    private async Task<RadosSession> OpenAsync()
    {
        var (connector, left) = (_connector!, _left);
        var session = await context.Reactor.RunBlocking(() => connector.Open(left));
        statistics.InstancesFenced = connector.Fenced;
        return session;
    }

    private void Use(RadosSession session)
    {
        _left = RecoveryReport.Nothing;
        _sessions.Add(session);
        statistics.Connected = 1;
        if (_stopping) return;
        admission.Session = session;
        foreach (var waiter in _waiting.ToArray()) waiter.SetResult(session);
        _waiting.Clear();
        admission.Pump();
    }

    private async Task ForgetAsync(RadosSession session)
    {
        try
        {
            await CloseAsync(session);
        }
        catch (Exception e)
        {
            context.Log.LogError(e, "the fenced RADOS client instance {Address} cannot be shut down; it is left as it is", session.Address);
        }
    }

    private Task<bool> CloseAsync(RadosSession session) => context.Reactor.RunBlocking(() =>
    {
        session.Cluster.Shutdown(TimeSpan.Zero);
        return true;
    });
}
