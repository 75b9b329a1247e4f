using System.Runtime.CompilerServices;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Runtime.Routing;

/// <summary>Waits for a handler that did not answer at once. Reused: an asynchronous request allocates nothing here.</summary>
internal sealed class PendingAnswer
{
    private readonly PortPoller _poller;
    private readonly Action _finish;
    private ValueTaskAwaiter<int> _awaiter;
    private Request _request;
    private long _started;

    internal PendingAnswer(PortPoller poller)
    {
        _poller = poller;
        _finish = Finish;
    }

    internal PendingAnswer? Next { get; set; }

    internal void Wait(in Request request, in ValueTask<int> outcome, long started)
    {
        (_request, _started) = (request, started);
        _awaiter = outcome.GetAwaiter();
        _awaiter.UnsafeOnCompleted(_finish);
    }

    private void Finish()
    {
        try
        {
            int status = _awaiter.GetResult();
            _awaiter = default;
            _poller.Answered(this, _request, status, _started);
        }
        catch (CrashException)
        {
            // Whom a test has killed answers nobody; the process that it is a part of goes on.
        }
    }
}
