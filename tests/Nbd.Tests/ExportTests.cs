using System.Text;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Tests;

/// <summary>Volumes, snapshots and read-only views as exports; sizes that change under a client.</summary>
public sealed class ExportTests
{
    private const uint MiB = 1 << 20;

    [Theory]
    [InlineData("vol@", "vol")]
    [InlineData("vol@snap.1", "vol@snap.1")]
    public async Task WhatIsNamedWithAnAtSignIsOpenedAndClosedForReading(string export, string target)
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes.Add("vol@snap.1", (int)MiB);
        using (var client = RawClient.Open(server, export))
        {
            // Read-only, and several connections see the same.
            Assert.Equal(0x102, client.Flags & 0x102);
            Assert.Equal(0u, client.Call(RawClient.Read, 0, 4096).Error);
            Assert.Equal((uint)Errno.EPERM, client.Call(RawClient.Write, 0, 4096, payload: new byte[4096]).Error);
            Assert.Equal((uint)Errno.EPERM, client.Call(RawClient.WriteZeroes, 0, 4096).Error);
            Assert.Equal((uint)Errno.EPERM, client.Call(RawClient.Trim, 0, 4096).Error);
            using var second = RawClient.Open(server, export);
            Assert.Equal(0u, second.Call(RawClient.Read, 0, 4096).Error);
        }

        await server.Until(() => server.Volumes[target].Closes == 1, "closed after its last client");
        await server.OnReactor(() =>
        {
            Assert.Equal(1, server.Volumes[target].Opens);
            Assert.All(server.Volumes.Log.Where(seen => seen.Op is XsegOp.Open or XsegOp.Close), seen => Assert.Equal((target, RequestFlags.ReadOnly), (seen.Target, seen.Flags)));
            return true;
        });
    }

    [Fact]
    public async Task AVolumeAndItsViewAreTwoExports()
    {
        await using var server = await TestServer.StartAsync();
        using var writer = RawClient.Open(server);
        using var reader = RawClient.Open(server, "vol@");
        Assert.Equal(0, writer.Flags & 2);
        Assert.Equal(2, reader.Flags & 2);
        byte[] data = Pattern.Random(4096, 1);
        Assert.Equal(0u, writer.Call(RawClient.Write, 0, 4096, payload: data).Error);
        Assert.Equal(data, reader.Call(RawClient.Read, 0, 4096).Data);
        Assert.Equal((uint)Errno.EPERM, reader.Call(RawClient.Write, 0, 4096, payload: data).Error);
    }

    [Fact]
    public async Task WhatOpensOnlyForReadingIsExportedSo()
    {
        await using var server = await TestServer.StartAsync();
        server.Volumes["vol"].OnlyReading = true;
        using var client = RawClient.Open(server);
        Assert.Equal(2, client.Flags & 2);
        Assert.Equal((uint)Errno.EPERM, client.Call(RawClient.Write, 0, 4096, payload: new byte[4096]).Error);
    }

    [Theory]
    [InlineData("@")]
    [InlineData("@snap")]
    [InlineData("vol@@")]
    [InlineData("vol@a@b")]
    [InlineData("vol@.a")]
    [InlineData("vol@a/b")]
    [InlineData("vol@012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789")]
    public async Task WhatNoSnapshotCanBeCalledIsUnknownWithoutAsking(string name)
    {
        await using var server = await TestServer.StartAsync();
        using var client = new RawClient(server);
        client.Greet();
        Assert.Equal(RawClient.Unknown, client.Go(name).Single().Type);
        Assert.Equal(RawClient.Unknown, client.Go(name, 6).Single().Type);
        Assert.Equal(RawClient.Ack, client.Option(8, []).Single().Type);
        Assert.Equal(RawClient.Unknown, client.Option(10, RawClient.Query(name, "base:allocation")).Single().Type);
        await server.OnReactor(() =>
        {
            Assert.Empty(server.Volumes.Log);
            return true;
        });
    }

    [Theory]
    [InlineData("volume vol is open on another host")]
    [InlineData(null)]
    public async Task AVolumeThatAnotherHostWritesToIsRefusedWithItsReasonAndCanBeReadAllTheSame(string? why)
    {
        await using var server = await TestServer.StartAsync();
        await server.OnReactor(() =>
        {
            server.Volumes.Why = why;
            server.Volumes.Fault = seen => seen.Op == XsegOp.Open && seen.Flags == RequestFlags.None ? Errno.EBUSY : 0;
            return true;
        });
        using var client = new RawClient(server);
        client.Greet();
        var refusal = client.Go("vol").Single();
        Assert.Equal(RawClient.Policy, refusal.Type);
        string message = Encoding.ASCII.GetString(refusal.Data);
        Assert.StartsWith(why ?? Errno.Describe(Errno.EBUSY), message);
        Assert.Contains("vol@", message);
        Assert.Equal(RawClient.Ack, client.Go("vol@").Last().Type);
        Assert.Equal(0u, client.Call(RawClient.Read, 0, 4096).Error);
    }

    [Fact]
    public async Task ANewSizeIsSeenByNewClientsAndUsableByThoseThatAreThere()
    {
        await using var server = await TestServer.StartAsync();
        await Resize(server, 16 * MiB);
        using var plain = RawClient.Open(server);
        using var structured = RawClient.Open(server, structured: true);
        Assert.Equal(16ul * MiB, plain.Size);
        Assert.Equal((uint)Errno.ENOSPC, plain.Call(RawClient.Write, 16 * MiB, MiB, payload: new byte[MiB]).Error);
        await Resize(server, 32 * MiB);
        // Nobody has told: each of these finds it out, with what comes behind it in the stream.
        byte[] data = Pattern.Random((int)(2 * MiB), 1);
        Assert.Equal(0u, plain.Call(RawClient.Write, 15 * MiB, 2 * MiB, payload: data).Error);
        Assert.Equal(data, structured.Call(RawClient.Read, 15 * MiB, 2 * MiB).Data);
        using var later = RawClient.Open(server);
        Assert.Equal(32ul * MiB, later.Size);
        await Resize(server, 48 * MiB);
        plain.Send([.. RawClient.Request(RawClient.Write, 40 * MiB, 2 * MiB, cookie: 1), .. data, .. RawClient.Request(RawClient.Read, 40 * MiB, 2 * MiB, cookie: 2)]);
        Assert.Equal((0u, 1ul), plain.Next() is var first ? (first.Error, first.Cookie) : default);
        Assert.Equal((0u, 2ul), plain.Next(2 * MiB) is var second ? (second.Error, second.Cookie) : default);
    }

    [Fact]
    public async Task BehindAShrunkEndTheErrorIsThatOfTheProtocol()
    {
        await using var server = await TestServer.StartAsync();
        using var client = RawClient.Open(server, structured: true, context: true);
        await Resize(server, 16 * MiB);
        // The volume itself refuses the first of them, and is asked then.
        await server.OnReactor(() => server.Volumes.Fault = seen =>
            seen.Op is XsegOp.Read && seen.Target == "vol" && seen.Offset + seen.Length > 16 * MiB ? Errno.EINVAL : 0);
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.Read, 32 * MiB, 4096).Error);
        await server.Until(() => server.Volumes.Log.Any(seen => seen.Op == XsegOp.Info), "it is asked for its size");
        using var other = RawClient.Open(server);
        Assert.Equal(16ul * MiB, other.Size);
        Assert.Equal((uint)Errno.ENOSPC, client.Call(RawClient.Write, 32 * MiB, 4096, payload: new byte[4096]).Error);
        Assert.Equal((uint)Errno.ENOSPC, client.Call(RawClient.WriteZeroes, 32 * MiB, 4096).Error);
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.Trim, 32 * MiB, 4096).Error);
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.BlockStatus, 32 * MiB, 4096).Error);
        Assert.Equal(0u, client.Call(RawClient.Read, 16 * MiB - 4096, 4096).Error);
    }

    [Fact]
    public async Task AClientThatGoesWhileTheSizeIsAskedForLeavesNothingBehind()
    {
        await using var server = await TestServer.StartAsync();
        await server.OnReactor(() => server.Volumes.Hold = seen => seen.Op == XsegOp.Info);
        using (var client = RawClient.Open(server))
        {
            client.SendRequest(RawClient.Write, 64 * MiB, 4096, payload: new byte[4096]);
            await server.Until(() => server.Volumes.Held == 1, "it is asked");
        }

        await server.Until(() => server.Peer.Statistics!.Connections == 0, "the client is gone");
        await server.OnReactor(() => server.Volumes.Hold = null);
        // The connection object is the same. The answer to its predecessor must not count as its own.
        using (var next = RawClient.Open(server))
        {
            Assert.Equal((uint)Errno.ENOSPC, next.Call(RawClient.Write, 64 * MiB, 4096, payload: new byte[4096]).Error);
            await server.OnReactor(() =>
            {
                server.Volumes.LetGo();
                return true;
            });
            Assert.Equal((uint)Errno.ENOSPC, next.Call(RawClient.Write, 64 * MiB, 4096, payload: new byte[4096]).Error);
            Assert.Equal(0u, next.Call(RawClient.Read, 0, 4096).Error);
        }

        await server.Until(() => server.Volumes["vol"].Closes == 1, "closed after the last client");
        Assert.Equal(1, await server.OnReactor(() => server.Volumes["vol"].Opens));
    }

    private static Task Resize(TestServer server, ulong size) => server.OnReactor(() => server.Volumes["vol"].Size = size);
}
