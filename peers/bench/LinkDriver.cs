using System.Numerics;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Ports;

namespace Archipelago.Bench;

/// <summary>Through links, to peers of other processes: the port is used directly, no task per request.</summary>
internal sealed class LinkDriver : BenchDriver, IIoHandler
{
    private const int IdleRounds = 64;
    private const long BeatNanoseconds = 100_000_000;

    private readonly IReactor _reactor;
    private readonly int _firstServer;
    private readonly int _shards;
    private readonly Dictionary<uint, TaskCompletionSource<int>> _calls = [];
    private long _nextBeat;

    internal LinkDriver(IReactor reactor, Port port, int firstServer, int shards)
    {
        (_reactor, Port, _firstServer, _shards) = (reactor, port, firstServer, shards);
        for (int shard = 0; shard < shards; shard++) port.Connect(firstServer + shard);
    }

    internal override Port Port { get; }

    internal override Task<int> CallAsync(Request request)
    {
        var call = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        _calls.Add(request.Slot, call);
        if (!Port.TrySubmit(request, ServerOf(request))) throw new InvalidOperationException("an empty ring is full");
        Port.Kick();
        return call.Task;
    }

    public override int Poll()
    {
        int work = 0;
        for (int idle = 0; idle < IdleRounds && work < Quantum;)
        {
            int done = Receive();
            int sent = Transfers != null ? Issue() : 0;
            if (sent != 0) Port.Kick();
            idle = done + sent != 0 ? 0 : idle + 1;
            work += done + sent;
        }

        CheckEnd();
        if (_reactor.Now >= _nextBeat)
        {
            _nextBeat = _reactor.Now + BeatNanoseconds;
            Port.Beat((ulong)_reactor.Clock.BoottimeNanoseconds);
        }

        return work;
    }

    public override bool PrepareToPark()
    {
        Port.Kick();
        return Port.PrepareToSleep();
    }

    public override void Unpark() => Port.Awake();

    public void OnReady(IoEvents events) => Port.DrainWake();

    private int Receive()
    {
        int done = 0;
        for (ulong servers = Port.Servers; servers != 0; servers &= servers - 1)
        {
            int server = BitOperations.TrailingZeroCount(servers);
            int batch = 0;
            while (Port.TryReceive(server, out var request))
            {
                batch++;
                if (_calls.Count != 0 && _calls.Remove(request.Slot, out var call)) call.SetResult(request.Status);
                else Transfers!.Complete(request, request.Status);
            }

            if (batch != 0) Port.EndReceive(server);
            done += batch;
        }

        return done;
    }

    private int Issue()
    {
        int sent = 0;
        while (Run.InFlight < Depth && Run.MayIssue && Transfers!.TryPrepare(out var request))
        {
            // The ring has room for every slot of the port.
            if (!Port.TrySubmit(request, ServerOf(request))) throw new InvalidOperationException("the ring is smaller than the port's slots");
            sent++;
        }

        return sent;
    }

    private int ServerOf(in Request request) => _shards == 1 ? _firstServer : _firstServer + (int)(request.Hash.High % (uint)_shards);
}
