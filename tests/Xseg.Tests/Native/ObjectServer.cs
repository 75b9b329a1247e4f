using System.Numerics;
using System.Runtime.InteropServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Xseg.Tests.Native;

/// <summary>A peer on a thread of its own that holds one object in memory and answers PING, READ and WRITE; it parks when idle.</summary>
internal sealed unsafe partial class ObjectServer : IDisposable
{
    private readonly byte[] _object = new byte[RequestSlot.MaxData];
    private readonly Port _port;
    private readonly Thread _thread;
    private bool _stop;

    internal ObjectServer(Segment segment, string route)
    {
        _port = TestSegment.Bind(segment, "objects", 200);
        RouteTable.Set(segment, System.Text.Encoding.ASCII.GetBytes(route), _port.Number, 1);
        _thread = new Thread(Run);
        _thread.Start();
    }

    internal Exception? Failure { get; private set; }

    internal long Parked { get; private set; }

    public void Dispose()
    {
        Volatile.Write(ref _stop, true);
        _port.Wake();
        _thread.Join();
        _port.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!Volatile.Read(ref _stop))
            {
                if (Serve() != 0) continue;
                if (_port.PrepareToSleep() && !Volatile.Read(ref _stop))
                {
                    Parked++;
                    var entry = new PollEntry { Handle = _port.WakeHandle, Events = 1 };
                    _ = poll(&entry, 1, -1);
                }

                _port.Awake();
                _port.DrainWake();
            }
        }
        catch (Exception failure)
        {
            Failure = failure;
        }
    }

    /// <summary>Flow of the pages that it lends, if not the request's.</summary>
    internal uint? LendsAs { get; init; }

    private int Serve()
    {
        int served = 0;
        for (ulong clients = _port.Clients(); clients != 0; clients &= clients - 1)
        {
            int client = BitOperations.TrailingZeroCount(clients);
            for (; _port.TryAccept(client, out var request); served++) _port.Reply(request, Handle(request));
            _port.EndBatch(client);
        }

        _port.Kick();
        return served;
    }

    private int Handle(in Request request)
    {
        if (request.Op == XsegOp.Ping) return 0;
        if (request.Op is not (XsegOp.Read or XsegOp.Write)) return XsegErrno.ENOTSUP;
        if (!request.TryData(out var data)) return XsegErrno.EBADMSG;
        ulong offset = request.Offset, length = request.Length;
        if (offset + length > RequestSlot.MaxData) return XsegErrno.EFBIG;
        bool lends = request.Op == XsegOp.Read && !data.HasPages;
        if (lends && _port.Pages.Count < data.Count && _port.Limbo.DrainPastSlowReaders() >= 0 && _port.Pages.Count < data.Count) return XsegErrno.ENOMEM;
        var content = _object.AsSpan((int)offset, (int)length);
        int skip = (int)(offset & 4095);
        for (int i = 0; i < data.Count; i++, skip = 0)
        {
            if (lends)
            {
                _port.Pages.TryLend(LendsAs ?? request.Flow, out var lent);
                _port.Limbo.Add(lent.Page);
                if (!data.Set(i, lent)) return XsegErrno.EBADMSG;
            }

            byte* bytes = data.Readable(i);
            if (bytes == null) return XsegErrno.EBADMSG;
            var part = new Span<byte>(bytes, 4096)[skip..Math.Min(4096, skip + content.Length)];
            if (request.Op == XsegOp.Write) part.CopyTo(content);
            else content[..part.Length].CopyTo(part);
            content = content[part.Length..];
        }

        request.Serviced = length;
        return 0;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        internal int Handle;
        internal short Events, Ready;
    }

    [LibraryImport("libc")]
    private static partial int poll(PollEntry* entries, nuint count, int timeout);
}
