using System.Text.Json;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Tests;

/// <summary>Snapshots, clones and sizes through the gateway, over the real vlmcd and mapperd, with real tools.</summary>
public sealed class MapTests
{
    private const int MiB = 1 << 20;

    [Fact]
    public async Task ASnapshotIsReadOnlyAndStaysWhileTheVolumeIsWritten()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        using var client = RawClient.Open(server);
        byte[] old = Pattern.Random(6 * MiB, 1), young = Pattern.Random(6 * MiB, 2);
        Assert.Equal(0u, client.Call(RawClient.Write, MiB, 6 * MiB, payload: old).Error);
        Assert.Equal(0, await server.ControlAsync(XsegOp.Snapshot, "vol", "one"));
        Assert.Equal(0u, client.Call(RawClient.Write, MiB, 6 * MiB, payload: young).Error);

        using var snapshot = RawClient.Open(server, "vol@one");
        Assert.Equal(2, snapshot.Flags & 2);
        Assert.True(old.AsSpan().SequenceEqual(snapshot.Call(RawClient.Read, MiB, 6 * MiB).Data));
        Assert.Equal((uint)Errno.EPERM, snapshot.Call(RawClient.Write, 0, 4096, payload: new byte[4096]).Error);
        Assert.Equal(0u, snapshot.Call(RawClient.Flush, 0, 0).Error);
        using var view = RawClient.Open(server, "vol@");
        Assert.True(young.AsSpan().SequenceEqual(view.Call(RawClient.Read, MiB, 6 * MiB).Data));
        Assert.Equal((uint)Errno.EPERM, view.Call(RawClient.Trim, 0, 4 * MiB).Error);
        Assert.Contains("is_read_only: true", await Tool.Run("nbdinfo", server.Uri("vol@one")));

        // In use it cannot be deleted, and its volume neither.
        Assert.Equal(Errno.EBUSY, await server.ControlAsync(XsegOp.Delete, "vol@one"));
        using var missing = new RawClient(server);
        missing.Greet();
        Assert.Equal(RawClient.Unknown, missing.Go("vol@two").Single().Type);
    }

    [Fact]
    public async Task AViewIsClosedAsItWasOpenedWhoeverElseHasTheVolumeOpen()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        // The first is a view of its own, the second one of what is open for writing.
        using (var before = RawClient.Open(server, "vol@"))
        {
            using var writer = RawClient.Open(server);
            Assert.Equal(0u, before.Call(RawClient.Read, 0, 4096).Error);
        }

        await Closed("the view that came first");
        using (RawClient.Open(server))
        {
            using var after = RawClient.Open(server, "vol@");
            Assert.Equal(0u, after.Call(RawClient.Read, 0, 4096).Error);
        }

        await Closed("the view that came second");

        async Task Closed(string what)
        {
            // What is open cannot be renamed.
            await server.UntilAsync(async () => await server.ControlAsync(XsegOp.Rename, "vol", "other") == 0, $"{what} is closed");
            Assert.Equal(0, await server.ControlAsync(XsegOp.Rename, "other", "vol"));
        }
    }

    [Fact]
    public async Task AViewFollowsWhatIsWrittenAndNeverMistakesForAHoleWhatHasMoved()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        byte[] data = Pattern.Random(4 * MiB, 1);
        using (var client = RawClient.Open(server)) Assert.Equal(0u, client.Call(RawClient.Write, 0, 4 * MiB, payload: data).Error);
        using var view = RawClient.Open(server, "vol@");
        Assert.True(data.AsSpan().SequenceEqual(view.Call(RawClient.Read, 0, 4 * MiB).Data));
        using (var client = RawClient.Open(server))
        {
            // The object moves to another layer, and the one that the view knew goes.
            Assert.Equal(0, await server.ControlAsync(XsegOp.Snapshot, "vol", "one"));
            data.AsSpan(0, MiB).Clear();
            Assert.Equal(0u, client.Call(RawClient.Write, 0, MiB, payload: new byte[MiB]).Error);
            Assert.Equal(0, await server.ControlAsync(XsegOp.Delete, "vol@one"));
            await server.UntilAsync(() => Task.FromResult(data.AsSpan().SequenceEqual(view.Call(RawClient.Read, 0, 4 * MiB).Data)), "the view shows it");
            Assert.Equal($"0+{4 * MiB}d {4 * MiB}+{60 * MiB}h", await Map(server, "vol@"));
        }
    }

    [Fact]
    public async Task RealToolsSeeAndUseANewSizeAndTheRightErrorBehindASmallerOne()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        using var client = RawClient.Open(server);
        Assert.Equal((uint)Errno.ENOSPC, client.Call(RawClient.Write, 64 * MiB, 4096, payload: new byte[4096]).Error);
        Assert.Equal(0, await server.ControlAsync(XsegOp.Truncate, "vol", length: 96 * MiB));
        byte[] data = Pattern.Random(4096, 1);
        Assert.Equal(0u, client.Call(RawClient.Write, 90 * MiB, 4096, payload: data).Error);
        Assert.Equal($"{96 * MiB}", (await Tool.Run("nbdinfo", "--size", server.Uri("vol"))).Trim());
        string output = await Tool.Run("qemu-io", "-f", "raw", server.Uri("vol"), "-c", "write -P 0x5a 91M 1M", "-c", "read -P 0x5a 91M 1M", "-c", "length");
        Assert.DoesNotContain("fail", output);
        Assert.Contains("96 MiB", output);
        Assert.Equal(data, client.Call(RawClient.Read, 90 * MiB, 4096).Data);

        Assert.Equal(0, await server.ControlAsync(XsegOp.Truncate, "vol", length: 32 * MiB));
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.Read, 90 * MiB, 4096).Error);
        Assert.Equal((uint)Errno.ENOSPC, client.Call(RawClient.Write, 90 * MiB, 4096, payload: data).Error);
        Assert.Equal((uint)Errno.ENOSPC, client.Call(RawClient.WriteZeroes, 32 * MiB - 4096, 8192).Error);
        Assert.Equal((uint)Errno.EINVAL, client.Call(RawClient.Trim, 32 * MiB, 4096).Error);
        Assert.Equal($"{32 * MiB}", (await Tool.Run("nbdinfo", "--size", server.Uri("vol"))).Trim());

        // What was cut off does not come back.
        Assert.Equal(0, await server.ControlAsync(XsegOp.Truncate, "vol", length: 96 * MiB));
        var (error, read) = client.Call(RawClient.Read, 90 * MiB, 2 * MiB);
        Assert.Equal(0u, error);
        Assert.DoesNotContain(read, each => each != 0);
    }

    [Fact]
    public async Task AViewThatHasItsOwnMapSeesANewSizeToo()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        using var view = RawClient.Open(server, "vol@");
        Assert.Equal(0u, view.Call(RawClient.Read, 0, 4096).Error);
        Assert.Equal(0, await server.ControlAsync(XsegOp.Truncate, "vol", length: 96 * MiB));
        Assert.Equal(0u, view.Call(RawClient.Read, 90 * MiB, 4096).Error);
    }

    [Fact]
    public async Task BlockStatusTellsTheHolesOfAClone()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()));
        // 16 objects of 4 MiB. D: written in the base, W: in the clone, T: trimmed there, Z: zeroed there, .: never written.
        const string ofBase = "DDDD..DDDD......", ofClone = "D.WZ.WTDW.T...Z.";
        byte[] expected = new byte[64 * MiB];
        using (var client = RawClient.Open(server))
            for (int i = 0; i < 16; i++)
                if (ofBase[i] == 'D') Write(client, i, i == 1 ? 4096 : 4 * MiB, i, expected);
        Assert.Equal(0, await server.ControlAsync(XsegOp.Snapshot, "vol", "base"));
        Assert.Equal(0, await server.ControlAsync(XsegOp.Clone, "clone", "vol@base"));
        byte[] before = (byte[])expected.Clone();
        string holesOfBase = Holes(ofBase.Select(part => part == '.'));
        Assert.Equal(holesOfBase, await Map(server, "vol@base"));
        Assert.Equal(holesOfBase, await Map(server, "clone"));
        Assert.Equal(holesOfBase, await QemuMap(server, "clone"));

        using (var client = RawClient.Open(server, "clone"))
        {
            for (int i = 0; i < 16; i++)
            {
                var part = expected.AsSpan(i * 4 * MiB, 4 * MiB);
                if (ofClone[i] == 'W') Write(client, i, 8192, 100 + i, expected);
                if (ofClone[i] is 'T' or 'Z') part.Clear();
                if (ofClone[i] == 'T') Assert.Equal(0u, client.Call(RawClient.Trim, (ulong)i * 4 * MiB, 4 * MiB).Error);
                if (ofClone[i] == 'Z') Assert.Equal(0u, client.Call(RawClient.WriteZeroes, (ulong)i * 4 * MiB, 4 * MiB).Error);
            }
        }

        // To zero a whole object of the base copies nothing, so it is a hole too.
        string holes = Holes(ofClone.Select((part, i) => part switch { 'T' or 'Z' => true, '.' => ofBase[i] == '.', _ => false }));
        Assert.Equal(holes, await Map(server, "clone"));
        Assert.Equal(holes, await QemuMap(server, "clone"));
        Assert.Equal(holesOfBase, await Map(server, "vol@base"));
        Assert.Equal(0, await server.ControlAsync(XsegOp.Snapshot, "clone", "later"));
        Assert.Equal(holes, await Map(server, "clone@later"));
        Assert.Equal(holes, await Map(server, "clone"));
        await SameAsync(server, "clone", expected);
        await SameAsync(server, "clone@later", expected);
        await SameAsync(server, "vol@base", before);
        byte[] later = (byte[])expected.Clone();

        // A part of an object is no hole by being trimmed, and what is trimmed twice stays one.
        using (var client = RawClient.Open(server, "clone"))
        {
            Assert.Equal(0u, client.Call(RawClient.Trim, 4 * MiB, MiB).Error);
            expected.AsSpan(4 * MiB, MiB).Clear();
            Assert.Equal(0u, client.Call(RawClient.Trim, 6 * 4 * MiB, 8 * MiB).Error);
            expected.AsSpan(6 * 4 * MiB, 8 * MiB).Clear();
        }

        Assert.Equal(Holes(ofClone.Select((part, i) => i == 7 || part switch { 'T' or 'Z' => true, '.' => ofBase[i] == '.', _ => false })), await Map(server, "clone"));
        await SameAsync(server, "clone", expected);
        await SameAsync(server, "clone@later", later);
    }

    [Fact]
    public async Task ACloneOfOtherSizeThanItsBaseShowsItsTail()
    {
        await using var server = await TestServer.StartChainAsync(new MemdPeer(new MemdOptions()), size: 10 * MiB);
        using (var client = RawClient.Open(server)) Assert.Equal(0u, client.Call(RawClient.Write, 9 * MiB, MiB, payload: Pattern.Random(MiB, 1)).Error);
        Assert.Equal(0, await server.ControlAsync(XsegOp.Snapshot, "vol", "base"));
        Assert.Equal(0, await server.ControlAsync(XsegOp.Clone, "clone", "vol@base", 18 * MiB));
        Assert.Equal($"{18 * MiB}", (await Tool.Run("nbdinfo", "--size", server.Uri("clone"))).Trim());
        Assert.Equal($"0+{8 * MiB}h {8 * MiB}+{4 * MiB}d {12 * MiB}+{6 * MiB}h", await Map(server, "clone"));
        Assert.Equal($"0+{8 * MiB}h {8 * MiB}+{2 * MiB}d", await Map(server, "vol@base"));
        string image = Path.Combine(server.Directory, "clone.qcow2");
        await Tool.Run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", server.Uri("clone"), image);
        await Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", server.Uri("clone"), image);
    }

    private static void Write(RawClient client, int at, int length, int seed, byte[] expected)
    {
        byte[] data = Pattern.Random(length, seed);
        Assert.Equal(0u, client.Call(RawClient.Write, (ulong)at * 4 * MiB, (uint)length, payload: data).Error);
        data.CopyTo(expected, at * 4 * MiB);
    }

    private static string Holes(IEnumerable<bool> objects)
    {
        var all = objects.ToArray();
        var extents = new List<(long From, long Length, bool Hole)>();
        for (int i = 0; i < all.Length; i++) Add(extents, (long)i * 4 * MiB, 4 * MiB, all[i]);
        return Text(extents);
    }

    private static void Add(List<(long From, long Length, bool Hole)> extents, long from, long length, bool hole)
    {
        if (extents.Count > 0 && extents[^1].Hole == hole) extents[^1] = (extents[^1].From, extents[^1].Length + length, hole);
        else extents.Add((from, length, hole));
    }

    private static string Text(List<(long From, long Length, bool Hole)> extents) =>
        string.Join(' ', extents.Select(extent => $"{extent.From}+{extent.Length}{(extent.Hole ? 'h' : 'd')}"));

    private static async Task<string> Map(TestServer server, string export)
    {
        using var map = JsonDocument.Parse(await Tool.Run("nbdinfo", "--map", "--json", server.Uri(export)));
        var extents = new List<(long From, long Length, bool Hole)>();
        foreach (var extent in map.RootElement.EnumerateArray())
        {
            int type = extent.GetProperty("type").GetInt32();
            Assert.True(type is 0 or 3, $"type {type}");
            Add(extents, extent.GetProperty("offset").GetInt64(), extent.GetProperty("length").GetInt64(), type == 3);
        }

        return Text(extents);
    }

    private static async Task<string> QemuMap(TestServer server, string export)
    {
        using var map = JsonDocument.Parse(await Tool.Run("qemu-img", "map", "-f", "raw", "--output=json", server.Uri(export)));
        var extents = new List<(long From, long Length, bool Hole)>();
        foreach (var extent in map.RootElement.EnumerateArray())
        {
            bool hole = extent.GetProperty("zero").GetBoolean();
            Assert.NotEqual(hole, extent.GetProperty("data").GetBoolean());
            Add(extents, extent.GetProperty("start").GetInt64(), extent.GetProperty("length").GetInt64(), hole);
        }

        return Text(extents);
    }

    private static async Task SameAsync(TestServer server, string export, byte[] expected)
    {
        string copy = Path.Combine(server.Directory, "copy");
        File.Delete(copy);
        await Tool.Run("nbdcopy", server.Uri(export), copy);
        byte[] read = await File.ReadAllBytesAsync(copy);
        Assert.True(expected.AsSpan().SequenceEqual(read), export);
        // The holes are true: with all of it read it is the same.
        string all = copy + ".all";
        File.Delete(all);
        await Tool.Run("nbdcopy", "--no-extents", server.Uri(export), all);
        byte[] whole = await File.ReadAllBytesAsync(all);
        Assert.True(read.AsSpan().SequenceEqual(whole), export);
    }
}
