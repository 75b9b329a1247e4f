using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Archipelago.Nbd.Tests;

/// <summary>An NBD client that sends what a test says, sense or not. Blocking, with a generous time-out.</summary>
internal sealed class RawClient : IDisposable
{
    internal const uint Ack = 1, Unsupported = 0x8000_0001, Policy = 0x8000_0002, Invalid = 0x8000_0003, Unknown = 0x8000_0006, TooBig = 0x8000_0009;
    internal const ushort Read = 0, Write = 1, Disc = 2, Flush = 3, Trim = 4, Cache = 5, WriteZeroes = 6, BlockStatus = 7;

    internal RawClient(EndPoint server)
    {
        Socket = new Socket(server.AddressFamily, SocketType.Stream, server is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified)
        {
            ReceiveTimeout = 30_000,
            SendTimeout = 30_000,
        };
        Socket.Connect(server);
    }

    internal RawClient(TestServer server) : this(new UnixDomainSocketEndPoint(server.SocketPath))
    {
    }

    internal Socket Socket { get; }
    internal ulong Size { get; private set; }
    internal ushort Flags { get; private set; }

    internal readonly record struct OptionReply(uint Option, uint Type, byte[] Data);

    internal readonly record struct Reply(bool Structured, ushort Flags, ushort Type, uint Error, ulong Cookie, byte[] Data);

    /// <summary>Through the handshake with <paramref name="export"/>.</summary>
    internal static RawClient Open(TestServer server, string export = "vol", bool structured = false, bool context = false)
    {
        var client = new RawClient(server);
        client.Greet();
        if (structured) Assert.Equal(Ack, client.Option(8, []).Single().Type);
        if (context) Assert.Equal(2, client.Option(10, Query(export, "base:allocation")).Count);
        Assert.Equal(Ack, client.Go(export).Last().Type);
        return client;
    }

    internal void Greet(uint flags = 3)
    {
        byte[] greeting = Receive(18);
        Assert.Equal("NBDMAGICIHAVEOPT"u8.ToArray(), greeting[..16]);
        Assert.Equal(3, BinaryPrimitives.ReadUInt16BigEndian(greeting.AsSpan(16)));
        Send(U32(flags));
    }

    internal void SendOption(uint option, byte[] data, uint? length = null) =>
        Send([.. "IHAVEOPT"u8, .. U32(option), .. U32(length ?? (uint)data.Length), .. data]);

    internal List<OptionReply> Option(uint option, byte[] data)
    {
        SendOption(option, data);
        return OptionReplies();
    }

    internal List<OptionReply> OptionReplies()
    {
        var replies = new List<OptionReply>();
        while (true)
        {
            byte[] header = Receive(20);
            Assert.Equal(0x3e889045565a9ul, BinaryPrimitives.ReadUInt64BigEndian(header));
            uint type = BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(12));
            replies.Add(new OptionReply(
                BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(8)), type, Receive((int)BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(16)))));
            if (type == Ack || type >= 0x8000_0000) return replies;
        }
    }

    internal List<OptionReply> Go(string export, uint option = 7, params ushort[] infos)
    {
        var replies = Option(option, [.. Text(export), .. U16((ushort)infos.Length), .. infos.SelectMany(U16)]);
        foreach (var reply in replies.Where(reply => reply.Type == 3 && BinaryPrimitives.ReadUInt16BigEndian(reply.Data) == 0))
            (Size, Flags) = (BinaryPrimitives.ReadUInt64BigEndian(reply.Data.AsSpan(2)), BinaryPrimitives.ReadUInt16BigEndian(reply.Data.AsSpan(10)));
        return replies;
    }

    internal static byte[] Query(string export, params string[] queries) => [.. Text(export), .. U32((uint)queries.Length), .. queries.SelectMany(Text)];

    internal static byte[] Request(ushort command, ulong offset, uint length, ushort flags = 0, ulong cookie = 7) =>
        [.. U32(0x25609513), .. U16(flags), .. U16(command), .. U64(cookie), .. U64(offset), .. U32(length)];

    internal void SendRequest(ushort command, ulong offset, uint length, ushort flags = 0, ulong cookie = 7, byte[]? payload = null) =>
        Send([.. Request(command, offset, length, flags, cookie), .. payload ?? []]);

    /// <summary>Sends a request and takes its whole answer: errno, and data with holes filled in.</summary>
    internal (uint Error, byte[] Data) Call(ushort command, ulong offset, uint length, ushort flags = 0, byte[]? payload = null)
    {
        SendRequest(command, offset, length, flags, 0x0102030405060708, payload);
        return Answer(command, offset, length);
    }

    internal (uint Error, byte[] Data) Answer(ushort command, ulong offset, uint length)
    {
        var data = new byte[command == Read && length <= 64 << 20 ? length : 0];
        while (true)
        {
            var reply = Next(command == Read ? length : 0);
            if (!reply.Structured) return (reply.Error, reply.Error == 0 && command == Read ? reply.Data : []);
            if (reply.Type == 0x8001) return (reply.Error, []);
            if (reply.Type == 1) reply.Data.AsSpan(8).CopyTo(data.AsSpan((int)(BinaryPrimitives.ReadUInt64BigEndian(reply.Data) - offset)));
            if (reply.Type == 5) data = reply.Data;
            if ((reply.Flags & 1) != 0) return (0, data);
        }
    }

    /// <summary>The next reply or chunk.</summary>
    internal Reply Next(uint readLength = 0)
    {
        uint magic = BinaryPrimitives.ReadUInt32BigEndian(Receive(4));
        if (magic == 0x67446698)
        {
            byte[] rest = Receive(12);
            uint error = BinaryPrimitives.ReadUInt32BigEndian(rest);
            return new Reply(false, 1, 0, error, BinaryPrimitives.ReadUInt64BigEndian(rest.AsSpan(4)), error == 0 ? Receive((int)readLength) : []);
        }

        Assert.Equal(0x668e33efu, magic);
        byte[] header = Receive(16);
        ushort type = BinaryPrimitives.ReadUInt16BigEndian(header.AsSpan(2));
        byte[] data = Receive((int)BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(12)));
        return new Reply(
            true, BinaryPrimitives.ReadUInt16BigEndian(header), type, type == 0x8001 ? BinaryPrimitives.ReadUInt32BigEndian(data) : 0,
            BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(4)), data);
    }

    internal void Send(byte[] bytes)
    {
        for (int at = 0; at < bytes.Length;) at += Socket.Send(bytes.AsSpan(at));
    }

    internal byte[] Receive(int count)
    {
        var bytes = new byte[count];
        for (int at = 0; at < count;)
        {
            int received = Socket.Receive(bytes.AsSpan(at));
            if (received == 0) throw new EndOfStreamException();
            at += received;
        }

        return bytes;
    }

    /// <summary>The server closes, whatever it still says before.</summary>
    internal void ExpectClosed()
    {
        var scrap = new byte[65536];
        try
        {
            while (Socket.Receive(scrap) > 0)
            {
            }
        }
        catch (SocketException closed) when (closed.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
        }
    }

    public void Dispose() => Socket.Dispose();

    internal static byte[] U16(ushort value) => BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(value));

    internal static byte[] U32(uint value) => BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(value));

    internal static byte[] U64(ulong value) => BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(value));

    internal static byte[] Text(string text) => [.. U32((uint)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];
}
