using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cli.Daemon;

/// <summary>What an operator's request brought back.</summary>
/// <param name="Status">0 or a positive errno.</param>
/// <param name="Serviced">The op's number.</param>
/// <param name="Result">The op's result bytes.</param>
/// <param name="Data">What was read.</param>
internal readonly record struct OperatorAnswer(int Status, long Serviced, byte[] Result, byte[] Data)
{
    /// <summary>The answer, or an exception that says what failed.</summary>
    internal OperatorAnswer OrThrow(string what) => Status == 0 ? this : throw new ErrnoException(Status, $"{what}: {Errno.Describe(Status)}");
}

/// <summary>
/// The control plane's end in the segment: a client that sends requests on behalf of operators. It serves nobody.
/// <see cref="AskAsync"/> may be called by any thread.
/// </summary>
internal sealed class OperatorPeer : Peer
{
    private int _pending;

    internal const int Pages = 64;

    public override ValueTask<int> HandleAsync(Request request) => new(XsegErrno.ENOTSUP);

    public override async ValueTask StopAsync()
    {
        // Those that were given up by their askers may still be under way.
        for (int i = 0; i < 200 && _pending > 0; i++) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(5));
    }

    /// <summary>Sends one request and waits for the answer, at most <paramref name="limit"/>: ETIMEDOUT then, and its outcome stays unknown.</summary>
    internal async Task<OperatorAnswer> AskAsync(
        string route, XsegOp op, string target, TimeSpan limit, long length = 0, long offset = 0, uint flow = 0, RequestFlags flags = RequestFlags.None)
    {
        if (Context is null) throw new ErrnoException(Errno.EAGAIN, "the process is starting; try again");
        var done = new TaskCompletionSource<OperatorAnswer>(TaskCreationOptions.RunContinuationsAsynchronously);
        Context.Reactor.Post(_ => Start(route, op, target, offset, length, flow, flags, done), null);
        try
        {
            return await done.Task.WaitAsync(limit).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new ErrnoException(
                Errno.ETIMEDOUT, $"{op.ToString().ToUpperInvariant()} through route '{route}' was not answered within {limit.TotalSeconds:0.#} s; is its peer running? See `archipelago status`");
        }
    }

    private async void Start(
        string routeName, XsegOp op, string target, long offset, long length, uint flow, RequestFlags flags, TaskCompletionSource<OperatorAnswer> done)
    {
        _pending++;
        try
        {
            byte[] name = Encoding.UTF8.GetBytes(target);
            var request = await Context.AllocateAsync();
            Context.Port.Prepare(request, op, flow, name, Hash128.Of(name), (ulong)offset, (ulong)length, flags);
            int status = op == XsegOp.Read && !Context.Port.TryAttachPages(request, payload: false) ? Errno.ENOMEM
                : await Context.OpenRoute(routeName).SubmitAsync(request);
            byte[] data = status == 0 && op == XsegOp.Read ? Copy(request) : [];
            done.TrySetResult(new OperatorAnswer(status, (long)request.Serviced, request.Result.ToArray(), data));
            Context.Free(request);
        }
        catch (Exception e)
        {
            done.TrySetException(e);
        }

        _pending--;
    }

    private static unsafe byte[] Copy(Request request)
    {
        byte[] data = new byte[request.Length];
        if (!request.TryData(out var pages)) return data;
        int at = (int)(request.Offset & 4095), copied = 0;
        for (int i = 0; i < pages.Count; i++, at = 0)
        {
            int bytes = Math.Min(data.Length - copied, 4096 - at);
            byte* page = pages.Readable(i);
            if (page != null) new ReadOnlySpan<byte>(page + at, bytes).CopyTo(data.AsSpan(copied));
            copied += bytes;
        }

        return data;
    }
}
