using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Conformance.Tests.Harness;

/// <summary>A gateway without a client: issues what tests ask for, on its reactor.</summary>
internal sealed class Client : Peer
{
    public override ValueTask<int> HandleAsync(Request request) => new(XsegErrno.ENOTSUP);

    /// <summary>Issues a request and completes when it is answered. On the client's reactor.</summary>
    internal async Task<Reply> IssueAsync(Ask ask)
    {
        var request = await Context.AllocateAsync();
        Prepare(request, ask);
        while (!TryAttach(request, ask)) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        Load(request, ask);
        int status = await Context.OpenRoute("blocks").SubmitAsync(request);
        var reply = Read(request, ask, status);
        Context.Free(request);
        return reply;
    }

    private void Prepare(in Request request, Ask ask)
    {
        var hash = ask.WrongHash ? new Hash128(1, 2) : Hash128.Of(ask.Name);
        Context.Port.Prepare(request, ask.Op, ask.Flow, ask.Name, hash, ask.Offset, ask.Length, ask.Flags);
        if (ask.Source != null) Context.Port.SetSource(request, ask.Source);
        request.Result.Clear();
        if (ask.Attempts != 0) SetAttempts(request, ask.Attempts);
        ask.Cookie?.CopyTo(request.Result);
        if (ask.DeadlineNanoseconds != 0) Context.Port.SetDeadline(request, (ulong)Context.Reactor.Clock.BoottimeNanoseconds + ask.DeadlineNanoseconds);
    }

    private static unsafe void SetAttempts(in Request request, byte attempts) => request.Pointer->Attempts = attempts;

    private bool TryAttach(in Request request, Ask ask) => ask.Op switch
    {
        XsegOp.Write => ask.Payload == null || Context.Port.TryAttachPages(request, payload: true),
        XsegOp.Read => ask.NoList || Context.Port.TryAttachPages(request, payload: ask.Supplied),
        _ => true,
    };

    private static unsafe void Load(in Request request, Ask ask)
    {
        if (ask.Payload == null || !request.TryData(out var data)) return;
        int inside = (int)(ask.Offset & 4095), done = 0;
        for (int i = 0; i < data.Count; i++)
        {
            int part = Math.Min(4096 - inside, ask.Payload.Length - done);
            // Around the payload lies what must not be stored.
            new Span<byte>(data.Readable(i), 4096).Fill(0xEE);
            ask.Payload.AsSpan(done, part).CopyTo(new Span<byte>(data.Readable(i) + inside, part));
            done += part;
            inside = 0;
        }

        if (ask.Spent is { } spent) data.Set(spent, data.Get(spent).AsSpent());
    }

    private static unsafe Reply Read(in Request request, Ask ask, int status)
    {
        byte[] bytes = [];
        int zero = 0;
        if (ask.Op == XsegOp.Read && status == 0)
        {
            Assert.True(request.TryData(out var data));
            bytes = new byte[ask.Length];
            int inside = (int)(ask.Offset & 4095), done = 0;
            for (int i = 0; i < data.Count; i++)
            {
                int part = Math.Min(4096 - inside, bytes.Length - done);
                byte* page = data.Readable(i);
                Assert.True(page != null, $"extent {i} of {data.Count} cannot be read: {data.Get(i)}");
                if (data.Get(i) == Extent.Zero) zero++;
                new ReadOnlySpan<byte>(page + inside, part).CopyTo(bytes.AsSpan(done));
                done += part;
                inside = 0;
            }
        }

        return new Reply(status, request.Serviced, request.Reply, bytes, zero, request.Result.ToArray());
    }
}
