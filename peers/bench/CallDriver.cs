using System.Runtime.CompilerServices;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Bench;

/// <summary>The bench as a peer among others on one reactor: a hop is a method call. It serves nobody.</summary>
internal sealed class BenchPeer : Peer
{
    public override ValueTask<int> HandleAsync(Request request) => new(XsegErrno.ENOTSUP);
}

/// <summary>By calls, to peers of this process. What is answered at once takes no task; what is not reuses its continuation.</summary>
internal sealed class CallDriver(PeerContext context, string routeName) : BenchDriver
{
    private readonly Route _route = context.OpenRoute(routeName);
    private Pending? _free;

    internal override Port Port => context.Port;

    internal override async Task<int> CallAsync(Request request) => await _route.SubmitAsync(request);

    public override int Poll()
    {
        int work = 0;
        while (Transfers != null && work < Quantum && Run.InFlight < Depth && Run.MayIssue && Transfers.TryPrepare(out var request))
        {
            work++;
            var outcome = _route.SubmitAsync(request);
            if (outcome.IsCompleted) Transfers.Complete(request, outcome.Result);
            else Wait(request, outcome);
        }

        CheckEnd();
        return work;
    }

    // The peer's own poller has the port's wake-ups.
    public override bool PrepareToPark() => true;

    public override void Unpark()
    {
    }

    private void Wait(in Request request, in ValueTask<int> outcome)
    {
        var pending = _free ?? new Pending(this);
        _free = pending.Next;
        pending.Start(request, outcome);
    }

    private sealed class Pending
    {
        private readonly CallDriver _driver;
        private readonly Action _finish;
        private ValueTaskAwaiter<int> _awaiter;
        private Request _request;

        internal Pending(CallDriver driver) => (_driver, _finish) = (driver, Finish);

        internal Pending? Next { get; set; }

        internal void Start(in Request request, in ValueTask<int> outcome)
        {
            _request = request;
            _awaiter = outcome.GetAwaiter();
            _awaiter.UnsafeOnCompleted(_finish);
        }

        private void Finish()
        {
            int status = _awaiter.GetResult();
            (Next, _driver._free) = (_driver._free, this);
            _driver.Transfers!.Complete(_request, status);
            _driver.CheckEnd();
        }
    }
}
