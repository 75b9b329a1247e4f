using Archipelago.Mapperd.Maps;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>A chunk of a map that another host may change is not kept; one that was forgotten is not seen again.</summary>
public class ChunkTests
{
    private const int O = Rig.ObjectSize;

    public enum Reader
    {
        Look,
        Load,
        Map,
        Hash,
    }

    [Theory]
    [InlineData(Reader.Look, false)]
    [InlineData(Reader.Load, false)]
    [InlineData(Reader.Map, false)]
    [InlineData(Reader.Hash, false)]
    [InlineData(Reader.Look, true)]
    [InlineData(Reader.Map, true)]
    public void What_is_read_without_the_lock_is_read_anew_each_time(Reader reader, bool oneReactor)
    {
        using var rig = new Rig(oneReactor);
        var (world, own) = Shared(rig);
        world.Close("disk");
        Run(rig, async volumes =>
        {
            VersionMap map = await ReadAsync(volumes, reader, rig.MapperdNode.Reactor);
            Assert.NotEqual(own, (await map.FindAsync(1)).Layer);
            await ChangeAsync(volumes, own, 1);
            Assert.Equal(own, (await map.FindAsync(1)).Layer);
            Assert.Equal(own, (await (await ReadAsync(volumes, reader, rig.MapperdNode.Reactor)).FindAsync(1)).Layer);
            // It may have become a snapshot's, whose chunks are kept.
            Assert.Equal(own, (await new VersionMap(map.Directory, volumes.Store.Chunks).FindAsync(1)).Layer);
            await ChangeAsync(volumes, own, 2);
            Assert.Equal(own, (await map.FindAsync(2)).Layer);
        });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_was_read_with_the_lock_is_forgotten_when_that_is_given_back(bool oneReactor)
    {
        using var rig = new Rig(oneReactor);
        var (world, own) = Shared(rig);
        var directory = rig.MapperdNode.Run(async () =>
        {
            var head = rig.Mapperd.Volumes.Table.Find("disk")!.Head;
            Assert.NotEqual(own, (await head.FindAsync(1)).Layer);
            Assert.NotEqual(0, rig.Mapperd.Volumes.Store.Chunks.Count);
            return head.Directory;
        });
        world.Close("disk");
        Run(rig, async volumes =>
        {
            await ChangeAsync(volumes, own, 1);
            Assert.Equal(own, (await new VersionMap(directory, volumes.Store.Chunks).FindAsync(1)).Layer);
        });
    }

    [Fact]
    public void Who_asks_after_it_was_forgotten_does_not_get_what_was_being_read_before()
    {
        using var rig = new Rig();
        var (world, own) = Shared(rig);
        var chunks = rig.Mapperd.Volumes.Store.Chunks;
        Run(rig, volumes =>
        {
            chunks.ForgetLayer(own);
            return Task.CompletedTask;
        });
        StopAnswer(rig);
        var first = rig.MapperdNode.Begin(() => chunks.GetAsync(own, 0).AsTask());
        rig.Store.Until(() => rig.Cut.Stopped > 0, "nothing is read");
        Run(rig, async volumes =>
        {
            chunks.ForgetLayer(own);
            await ChangeAsync(volumes, own, 1);
        });
        var second = rig.MapperdNode.Begin(() => chunks.GetAsync(own, 0).AsTask());
        rig.MapperdNode.Run(async () =>
        {
            await Task.WhenAny(second, Task.Delay(500));
            return true;
        });
        Go(rig);
        Assert.NotEqual(own, rig.MapperdNode.Run(() => first)[1].Layer);
        Assert.Equal(own, rig.MapperdNode.Run(() => second)[1].Layer);
        Run(rig, async volumes => Assert.Equal(own, (await chunks.GetAsync(own, 0))[1].Layer));
    }

    /// <summary>Something else is forgotten while a chunk is read that is changed then.</summary>
    [Fact]
    public void A_chunk_that_is_changed_is_never_kept_as_it_was_before()
    {
        using var rig = new Rig();
        var (world, own) = Shared(rig);
        var chunks = rig.Mapperd.Volumes.Store.Chunks;
        uint flow = world.Open["disk"];
        Run(rig, volumes =>
        {
            chunks.ForgetLayer(own);
            return Task.CompletedTask;
        });
        StopAnswer(rig);
        var read = rig.MapperdNode.Begin(() => chunks.GetAsync(own, 0).AsTask());
        rig.Store.Until(() => rig.Cut.Stopped > 0, "nothing is read");
        Run(rig, volumes =>
        {
            chunks.Forget(own + 1, 0);
            return Task.CompletedTask;
        });
        Go(rig);
        var chunk = rig.MapperdNode.Run(() => read);
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Write && request.Target.StartsWith("m."u8));
        var change = rig.MapperdNode.Begin(async () =>
        {
            await chunks.PutEntriesAsync(chunk, [(1, MapEntry.Of(own, true))], flow);
            return true;
        });
        rig.Store.Until(() => rig.Cut.Stopped > 0, "nothing is written");
        // As it was, or as it is to be.
        Run(rig, async volumes => await chunks.GetAsync(own, 0));
        Go(rig);
        rig.MapperdNode.Run(() => change);
        Run(rig, async volumes => Assert.Equal(own, (await chunks.GetAsync(own, 0))[1].Layer));
    }

    /// <summary>A volume, open, with a chunk of its own layer, which only object 0 is in.</summary>
    private static (World World, ulong Own) Shared(Rig rig)
    {
        var world = new World(rig);
        world.Run(Op.Create("disk", 4 * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, 4 * O)));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Write("disk", 0, Bytes.Of(2, 512)));
        return (world, rig.MapperdNode.Run(() => Task.FromResult(rig.Mapperd.Volumes.Table.Find("disk")!.Root!.Layer)));
    }

    private static async Task<VersionMap> ReadAsync(VolumeService volumes, Reader reader, IReactor reactor)
    {
        if (reader == Reader.Map) return await volumes.MapOfAsync(new VolumeName("disk", null));
        if (reader == Reader.Hash) await volumes.HashAsync(new VolumeName("disk", null));
        var seen = await volumes.LookAsync("disk");
        if (reader != Reader.Load) return seen.Head;
        var loaded = new Volume("disk", reactor);
        Assert.True(await volumes.Store.TryLoadAsync(loaded, seen.Root!.Id));
        return loaded.Head;
    }

    /// <summary>What another host does that has the lock: the object becomes one of the volume's own layer.</summary>
    private static async Task ChangeAsync(VolumeService volumes, ulong own, int index)
    {
        Assert.Equal(0, await volumes.Store.Meta.WriteAsync(LayerName.Data(own, (ulong)index), 0, Bytes.Of(3, O)));
        byte[] name = LayerName.Chunk(own, 0), bytes = new byte[MapGeometry.ChunkBytes];
        Assert.Equal(0, (await volumes.Store.Meta.ReadAsync(name, 0, bytes)).Status);
        byte[] sector = Chunk.Read(own, 0, bytes).With(index / MapGeometry.SectorEntries, [(index, MapEntry.Of(own, true))]);
        Assert.Equal(0, await volumes.Store.Meta.WriteAsync(name, (ulong)(index / MapGeometry.SectorEntries * MapGeometry.SectorBytes), sector));
    }

    private static void Run(Rig rig, Func<VolumeService, Task> work) => rig.MapperdNode.Run(async () =>
    {
        await work(rig.Mapperd.Volumes);
        return true;
    });

    /// <summary>The next chunk that is read is answered only when <see cref="Go"/> says so, as it is now.</summary>
    private static void StopAnswer(Rig rig) => rig.OnStore(() =>
    {
        bool isFirst = true;
        rig.Cut.StopsAnswers = true;
        rig.Cut.Stop = request => request.Op == XsegOp.Read && request.Target.StartsWith("m."u8) && isFirst && !(isFirst = false);
        return true;
    });

    private static void Go(Rig rig) => rig.OnStore(() =>
    {
        rig.Cut.Go();
        rig.Cut.StopsAnswers = false;
        return true;
    });
}
