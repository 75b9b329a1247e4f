using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Cached.Tests;

/// <summary>What came back of a request.</summary>
internal sealed record Reply(int Status, ulong Serviced = 0, ReplyFlags Flags = ReplyFlags.None, byte[]? Data = null, byte[]? Result = null);

/// <summary>A gateway of the tests: issues requests to the cache, or past it to the blocker.</summary>
internal sealed class Client : Peer
{
    internal Route Cache { get; private set; } = null!;
    internal Route Blocks { get; private set; } = null!;
    /// <summary>Requests under way.</summary>
    internal int Pending { get; private set; }

    public override ValueTask StartAsync()
    {
        (Cache, Blocks) = (Context.OpenRoute("cache"), Context.OpenRoute("blocks"));
        return ValueTask.CompletedTask;
    }

    public override ValueTask<int> HandleAsync(Request request) => new(XsegErrno.ENOTSUP);

    internal Task<Reply> WriteAsync(uint flow, string name, ulong offset, byte[] data, RequestFlags flags = RequestFlags.None, Route? route = null) =>
        IssueAsync(XsegOp.Write, flow, name, offset, (ulong)data.Length, flags, data: data, route: route);

    /// <summary>A read into pages of its own, or of lent ones; <paramref name="whileLent"/> is awaited before they are given back.</summary>
    internal Task<Reply> ReadAsync(uint flow, string name, ulong offset, ulong length, bool own = false, RequestFlags flags = RequestFlags.None,
        Func<byte[], Func<byte[]>, Task>? whileLent = null, Route? route = null) =>
        IssueAsync(XsegOp.Read, flow, name, offset, length, flags, own: own, whileLent: whileLent, route: route);

    internal async Task<Reply> IssueAsync(XsegOp op, uint flow, string name, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None,
        string? source = null, byte[]? data = null, bool own = false, Func<byte[], Func<byte[]>, Task>? whileLent = null, Route? route = null, byte[]? cookie = null)
    {
        Pending++;
        var request = await Context.AllocateAsync();
        Prepare(request, op, flow, name, offset, length, flags, source, cookie);
        if (op is XsegOp.Write or XsegOp.Read)
            while (!Context.Port.TryAttachPages(request, payload: op == XsegOp.Write || own)) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        if (op == XsegOp.Write) Put(request, data!);
        int status = await (route ?? Cache).SubmitAsync(request);
        byte[]? read = op == XsegOp.Read && status == 0 ? Take(request) : null;
        if (whileLent != null && read != null) await whileLent(read, () => Take(request));
        var reply = new Reply(status, request.Serviced, request.Reply, read, request.Result.ToArray());
        Context.Free(request);
        Pending--;
        return reply;
    }

    /// <summary>Pages that a request of the client names, by extent.</summary>
    internal static List<uint> PagesOf(in Request request)
    {
        var pages = new List<uint>();
        request.TryData(out var data);
        for (int i = 0; i < data.Count; i++) pages.Add(data.Get(i).Page);
        return pages;
    }

    internal void Prepare(in Request request, XsegOp op, uint flow, string name, ulong offset, ulong length, RequestFlags flags = RequestFlags.None, string? source = null, byte[]? cookie = null)
    {
        byte[] target = System.Text.Encoding.UTF8.GetBytes(name);
        Context.Port.Prepare(request, op, flow, target, Hash128.Of(target), offset, length, flags);
        if (source != null) Context.Port.SetSource(request, System.Text.Encoding.UTF8.GetBytes(source));
        cookie?.CopyTo(request.Result);
    }

    internal static void Put(in Request request, byte[] bytes) => Each(request, bytes, toPages: true);

    internal static byte[] Take(in Request request)
    {
        byte[] bytes = new byte[request.Length];
        Each(request, bytes, toPages: false);
        return bytes;
    }

    private static unsafe void Each(in Request request, byte[] bytes, bool toPages)
    {
        Assert.True(request.TryData(out var data));
        int inside = (int)(request.Offset & 4095), at = 0;
        for (int i = 0; i < data.Count; i++)
        {
            int part = Math.Min(4096 - inside, bytes.Length - at);
            byte* page = data.Readable(i);
            Assert.True(page != null, $"{request}: extent {i} may not be read");
            var span = new Span<byte>(page + inside, part);
            if (toPages) bytes.AsSpan(at, part).CopyTo(span);
            else span.CopyTo(bytes.AsSpan(at, part));
            (at, inside) = (at + part, 0);
        }
    }
}
