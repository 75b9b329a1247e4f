using System.Text;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Tests;

/// <summary>
/// Stands before memd and cuts its user off after k changes: later requests fail, or hang until the user is dead. What was cut off has
/// had no effect, as with a user that was killed between two writes.
/// </summary>
internal sealed class CutPeer(MemdPeer memd) : Peer
{
    private readonly List<Completion<bool>> _held = [];
    private readonly Dictionary<string, ulong> _epochs = [];
    private readonly HashSet<string> _locked = [];
    private int _left = int.MaxValue;
    private bool _hold;

    /// <summary>Changes let through since the last cut.</summary>
    internal int Changes { get; private set; }
    internal int Held => _held.Count;
    /// <summary>Ports whose requests were ever held.</summary>
    internal HashSet<int> HeldIssuers { get; } = [];
    internal bool IsCut => _left <= 0;

    internal void CutAfter(int changes, bool hold) => (_left, _hold, Changes) = (changes, hold, 0);

    /// <summary>The next so many writes are carried out and then answered with an error: their outcome is unknown to the writer.</summary>
    internal int LieAboutWrites { get; set; }

    /// <summary>Everything that hangs fails, without effect; what comes from here on goes through.</summary>
    internal void Mend()
    {
        _left = int.MaxValue;
        var held = _held.ToArray();
        _held.Clear();
        foreach (var one in held) one.Set(true);
    }

    /// <summary>The first request of this op on an object of data ends in an exception: a fault of ours in a peer of the same process.</summary>
    internal XsegOp? ThrowsOnceAt { get; set; }

    public override ValueTask<int> HandleAsync(Request request)
    {
        if (request.Op == ThrowsOnceAt && request.Target.StartsWith("o."u8))
        {
            ThrowsOnceAt = null;
            throw new InvalidOperationException("nobody expects this");
        }

        bool changes = request.Op is not (XsegOp.Read or XsegOp.Info or XsegOp.Ping or XsegOp.Flush);
        if (_left <= 0) return Cut(request.Issuer);
        if (changes)
        {
            _left--;
            Changes++;
        }

        if (Trace != null && changes) Trace.Add($"{request.Op} {Encoding.UTF8.GetString(request.Target)}");
        if (Fail is { } fail && fail(request) is var errno and not 0) return new ValueTask<int>(errno);
        if (request.Op == XsegOp.Write && LieAboutWrites > 0) return Lie(request);
        if (Stop is { } stop && stop(request)) return StopOne(request);
        return request.Op is XsegOp.Acquire or XsegOp.Release ? Lock(request) : memd.HandleAsync(request);
    }

    /// <summary>Changes, as text, in their order.</summary>
    internal List<string>? Trace { get; set; }

    /// <summary>Says with what a request fails; 0 for not at all.</summary>
    internal Func<Request, int>? Fail { get; set; }

    /// <summary>Says of a request whether it is held until <see cref="Go"/>; it is carried out then.</summary>
    internal Func<Request, bool>? Stop { get; set; }
    /// <summary>What <see cref="Stop"/> holds is carried out at once, and answered late.</summary>
    internal bool StopsAnswers { get; set; }
    /// <summary>Requests that <see cref="Stop"/> holds.</summary>
    internal int Stopped => _stopped.Count;

    private readonly List<Completion<bool>> _stopped = [];
    private readonly List<XsegOp> _stoppedOps = [];

    /// <summary>Lets only what is held of one op go on.</summary>
    internal void GoOnly(XsegOp op)
    {
        for (int i = _stopped.Count - 1; i >= 0; i--)
        {
            if (_stoppedOps[i] != op) continue;
            var one = _stopped[i];
            _stopped.RemoveAt(i);
            _stoppedOps.RemoveAt(i);
            one.Set(true);
        }
    }

    internal void Go()
    {
        Stop = null;
        var stopped = _stopped.ToArray();
        _stopped.Clear();
        _stoppedOps.Clear();
        foreach (var one in stopped) one.Set(true);
    }

    private async ValueTask<int> StopOne(Request request)
    {
        var turn = new Completion<bool>();
        bool isDone = StopsAnswers;
        var op = request.Op;
        int status = isDone ? await memd.HandleAsync(request) : 0;
        _stopped.Add(turn);
        _stoppedOps.Add(op);
        await turn.Task;
        return isDone ? status : await memd.HandleAsync(request);
    }

    /// <summary>A blocker that keeps no epochs gets some here.</summary>
    private async ValueTask<int> Lock(Request request)
    {
        string name = Encoding.UTF8.GetString(request.Target);
        int status = await memd.HandleAsync(request);
        if (status != 0) return status;
        if (request.Op == XsegOp.Release) _locked.Remove(name);
        else if (_locked.Add(name)) _epochs[name] = _epochs.GetValueOrDefault(name) + 1;
        if (request.Op == XsegOp.Acquire && request.Serviced == 0) request.Serviced = _epochs[name];
        return 0;
    }

    private async ValueTask<int> Lie(Request request)
    {
        LieAboutWrites--;
        await memd.HandleAsync(request);
        return Errno.EIO;
    }

    private async ValueTask<int> Cut(int issuer)
    {
        if (!_hold) return Errno.EIO;
        var turn = new Completion<bool>();
        _held.Add(turn);
        HeldIssuers.Add(issuer);
        await turn.Task;
        return Errno.EIO;
    }
}
