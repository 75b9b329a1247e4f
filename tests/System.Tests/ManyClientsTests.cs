using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The tools that people use, and many of them.</summary>
public sealed class ManyClientsTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void Nbdcopy_and_qemu_img_bring_an_image_in_and_out_unchanged()
    {
        _chain.Start(["up", .. Chain.Small]);
        string source = Path.Combine(_chain.Root, "in"), copy = Path.Combine(_chain.Root, "out");
        var content = new byte[64 << 20];
        new Random(3).NextBytes(content);
        content.AsSpan(8 << 20, 8 << 20).Clear();
        File.WriteAllBytes(source, content);
        _chain.Execute("nbdcopy", "--flush", source, _chain.Uri("demo")).Good();
        _chain.Execute("nbdcopy", _chain.Uri("demo"), copy).Good();
        Assert.True(File.ReadAllBytes(copy).AsSpan().SequenceEqual(content), "nbdcopy brought back something else");
        _chain.Execute("qemu-img", "compare", "-f", "raw", "-F", "raw", source, _chain.Uri("demo")).Good();

        _chain.Run("volume", "create", "second", "64M").Good();
        _chain.Execute("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, _chain.Uri("second")).Good();
        _chain.Execute("qemu-img", "compare", "-f", "raw", "-F", "raw", _chain.Uri("demo"), _chain.Uri("second")).Good();
        string qcow = Path.Combine(_chain.Root, "out.qcow2");
        _chain.Execute("qemu-img", "convert", "-f", "raw", "-O", "qcow2", _chain.Uri("second"), qcow).Good();
        _chain.Execute("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, qcow).Good();
        _chain.Run("down").Good();
    }

    [Fact]
    public void A_thousand_idle_connections_are_in_nobodys_way()
    {
        const int Count = 1000;
        _chain.Start(["up", .. Chain.Small]);
        var idle = new List<Socket>();
        try
        {
            for (int i = 0; i < Count; i++) idle.Add(Connect("demo"));
            _chain.Fio("demo", "--rw=randrw").Good();
            _chain.Fio("demo", "--rw=randwrite", "--numjobs=4", "--size=2m", "--offset_increment=2m").Good();
            // All of them still serve: one FLUSH each.
            foreach (var socket in idle)
            {
                var request = new byte[28];
                BinaryPrimitives.WriteUInt32BigEndian(request, 0x25609513);
                BinaryPrimitives.WriteUInt16BigEndian(request.AsSpan(6), 3);
                socket.Send(request);
            }

            Assert.All(idle, socket =>
            {
                var reply = Receive(socket, 16);
                Assert.Equal(0x67446698u, BinaryPrimitives.ReadUInt32BigEndian(reply));
                Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(4)));
            });
        }
        finally
        {
            foreach (var socket in idle) socket.Dispose();
        }

        _chain.Fio("demo", "--rw=randrw").Good();
        _chain.Run("down").Good();
    }

    private Socket Connect(string volume)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { ReceiveTimeout = 60_000 };
        socket.Connect(new UnixDomainSocketEndPoint($"{_chain.State}/nbd.sock"));
        Receive(socket, 18);
        var hello = new byte[20 + volume.Length];
        BinaryPrimitives.WriteUInt32BigEndian(hello, 3);
        "IHAVEOPT"u8.CopyTo(hello.AsSpan(4));
        BinaryPrimitives.WriteUInt32BigEndian(hello.AsSpan(12), 1);
        BinaryPrimitives.WriteInt32BigEndian(hello.AsSpan(16), volume.Length);
        Encoding.ASCII.GetBytes(volume, hello.AsSpan(20));
        socket.Send(hello);
        Receive(socket, 10);
        return socket;
    }

    private static byte[] Receive(Socket socket, int count)
    {
        var bytes = new byte[count];
        for (int have = 0; have < count;)
        {
            int got = socket.Receive(bytes.AsSpan(have));
            Assert.NotEqual(0, got);
            have += got;
        }

        return bytes;
    }
}
