using Archipelago.Cached;
using Archipelago.Mapperd;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Tables;

namespace Archipelago.Vlmcd.Tests;

/// <summary>A host opens far more volumes over its life than its flow table has entries: those of closed ones become others', and nobody notices.</summary>
public sealed class FlowTests
{
    private const ulong Size = 4 * Rig.ObjectSize;

    private static Rig NewRig(int flows) =>
        new(cached: new CachedOptions { Pages = 1024, DirtyAge = TimeSpan.FromHours(1) }, flows: flows, mapperd: new MapperdOptions { FirstRetry = TimeSpan.FromMilliseconds(10) });

    private static byte[] Data(int seed) => VolumeTests.Bytes(seed, 4096);

    private static string NameOf(Rig rig, uint flow) => System.Text.Encoding.ASCII.GetString(FlowTable.NameOf(rig.Segment, flow));

    private static unsafe uint StateOf(Rig rig, uint flow) => (uint)rig.Segment.FlowAt(flow)->Word;

    private static unsafe byte PolicyOf(Rig rig, uint flow) => rig.Segment.FlowAt(flow)->Policy;

    /// <summary>Opens, writes, closes.</summary>
    private static void Use(Rig rig, string name, int seed, bool creates = true)
    {
        uint flow = creates ? rig.CreateAndOpen(name, Size) : rig.Open(name);
        Assert.Equal(name, NameOf(rig, flow));
        Assert.Equal(0, rig.Write(name, flow, (ulong)(seed % 4) * Rig.ObjectSize, Data(seed)).Status);
        Close(rig, name, flow);
    }

    private static void Close(Rig rig, string name, uint flow, RequestFlags flags = RequestFlags.None) => Assert.Equal(0, rig.Do(XsegOp.Close, name, flow, flags: flags).Status);

    private static void Reads(Rig rig, string name, uint flow, int seed, ulong offset) => Assert.Equal(Data(seed), rig.Read(name, flow, offset, 4096).Data);

    /// <summary>Write-back, and dirty.</summary>
    private static uint OpenDirty(Rig rig, string name, int seed)
    {
        uint flow = rig.CreateAndOpen(name, Size);
        Assert.Equal(0, rig.Do(XsegOp.Flush, name, flow).Status);
        Assert.Equal(0, rig.Write(name, flow, 0, Data(seed)).Status);
        return flow;
    }

    [Fact]
    public void What_stands_by_is_read_past_the_cache_until_it_is_opened_for_writing_whatever_is_changed_meanwhile()
    {
        using var rig = NewRig(flows: 64);
        Use(rig, "disk", 1);
        uint flow = Maps(XsegOp.Open, flags: RequestFlags.ReadOnly | RequestFlags.NoSync).Flow;
        FollowsTheStore(2);
        // The volume is nobody's, so that this host has its lock for that.
        Assert.Equal(0, Maps(XsegOp.Snapshot, source: "s").Status);
        FollowsTheStore(4);
        Assert.Equal(0, Maps(XsegOp.Truncate, length: 2 * Size).Status);
        FollowsTheStore(6);
        Assert.Equal(flow, Maps(XsegOp.Open).Flow);
        Assert.Equal(Data(7), Read());
        Put(8);
        Assert.Equal(Data(7), Read());

        void FollowsTheStore(int seed)
        {
            Put(seed);
            Assert.Equal(Data(seed), Read());
            Put(seed + 1);
            Assert.Equal(Data(seed + 1), Read());
        }

        // As another host does.
        void Put(int seed) => Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Write("blocks", "o.any", 0, 0, Data(seed))).Status);
        byte[] Read() => rig.ClientNode.Run(() => rig.Client.Read("cache", "o.any", flow, 0, 4096)).Data;
        Answer Maps(XsegOp op, ulong length = 0, RequestFlags flags = RequestFlags.None, string? source = null) =>
            rig.ClientNode.Run(() => rig.Client.Do("maps", op, "disk", length: length, flags: flags, source: source));
    }

    [Fact]
    public void Three_thousand_volumes_are_opened_one_after_another_while_some_stay_open_with_dirty_pages()
    {
        const int Volumes = 3000, Open = 8;
        using var rig = NewRig(flows: 64);
        var open = new uint[Open];
        for (int i = 0; i < Open; i++) open[i] = OpenDirty(rig, $"open{i}", 1000 + i);
        for (int i = 0; i < Volumes; i++)
        {
            Use(rig, $"v{i}", i);
            if (i % 5 != 0) continue;
            // What it was before, under whatever number.
            string before = $"v{i / 2}";
            uint flow = rig.Open(before);
            Reads(rig, before, flow, i / 2, (ulong)(i / 2 % 4) * Rig.ObjectSize);
            Close(rig, before, flow);
        }

        Assert.True(rig.Mapperd.Volumes.Flows.Freed > 2500, $"{rig.Mapperd.Volumes.Flows.Freed} flows were freed");
        var shown = rig.CachedNode!.Run(() => Task.FromResult(rig.Cached!.Collect()));
        for (int i = 0; i < Open; i++)
        {
            Assert.Equal($"open{i}", NameOf(rig, open[i]));
            Assert.Equal(4096, shown.Flows.Single(flow => flow.Volume == $"open{i}").DirtyBytes);
            Reads(rig, $"open{i}", open[i], 1000 + i, 0);
            Assert.Equal(0, rig.Do(XsegOp.Flush, $"open{i}", open[i]).Status);
            Close(rig, $"open{i}", open[i]);
        }

        rig.KillCached();
        for (int i = 0; i < Open; i++) Reads(rig, $"open{i}", rig.Open($"open{i}"), 1000 + i, 0);
    }

    [Fact]
    public void A_table_full_of_what_is_open_refuses_and_goes_on_when_one_is_closed()
    {
        using var rig = NewRig(flows: 8);
        var open = new List<(string Name, uint Flow)>();
        Answer answer;
        int made = 0;
        while (true)
        {
            string name = $"v{made++}";
            Assert.Equal(0, rig.Do(XsegOp.Create, name, length: Size).Status);
            answer = rig.Do(XsegOp.Open, name);
            if (answer.Status != 0) break;
            open.Add((name, answer.Flow));
        }

        Assert.Equal((Errno.ENOSPC, true), (answer.Status, open.Count is 5 or 6));
        Close(rig, open[2].Name, open[2].Flow);
        Assert.Equal(open[2].Flow, rig.Open($"v{made - 1}"));
        // Who still has the old number is told.
        Assert.Equal(Errno.EINVAL, rig.Read(open[2].Name, open[2].Flow, 0, 4096).Status);
    }

    [Fact]
    public void A_snapshot_that_a_gateway_reads_keeps_its_flow_and_what_the_dead_have_read_does_not()
    {
        using var rig = NewRig(flows: 16);
        Use(rig, "base", 1);
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "base", source: "kept").Status);
        uint kept = rig.Open("base@kept", RequestFlags.ReadOnly), view = rig.Open("base", RequestFlags.ReadOnly);
        for (int i = 0; i < 9; i++) Assert.Equal(0, rig.Do(XsegOp.Snapshot, "base", source: $"s{i}").Status);
        var node = rig.NewNode();
        var gateway = node.Start(new Client(), "gateway", null, 64);
        for (int i = 0; i < 9; i++) Assert.Equal(0, node.Run(() => gateway.Do("volumes", XsegOp.Open, $"base@s{i}", flags: RequestFlags.ReadOnly)).Status);
        node.Kill();
        for (int i = 0; i < 40; i++) Use(rig, $"v{i}", i);
        rig.KillVlmcd();
        for (int i = 0; i < 40; i++) Use(rig, $"v{i}", i, creates: false);
        Assert.Equal(("base@kept", "base@"), (NameOf(rig, kept), NameOf(rig, view)));
        Reads(rig, "base@kept", kept, 1, Rig.ObjectSize);
        Reads(rig, "base", view, 1, Rig.ObjectSize);
        Close(rig, "base@kept", kept, RequestFlags.ReadOnly);
        Close(rig, "base", view, RequestFlags.ReadOnly);
        for (int i = 0; i < 20; i++) Use(rig, $"v{i}", i, creates: false);
        Assert.Equal(0u, FlowTable.Find(rig.Segment, "base@kept"u8));
    }

    [Fact]
    public void A_policy_of_its_own_is_not_forgotten_until_the_volume_is_deleted()
    {
        using var rig = NewRig(flows: 16);
        Use(rig, "own", 1);
        uint flow = FlowTable.SetPolicy(rig.Segment, "own"u8, FlowSpace.Data, CachePolicy.WriteThrough, safe: true);
        for (int i = 0; i < 30; i++) Use(rig, $"v{i}", i);
        Assert.Equal((flow, (byte)CachePolicy.WriteThrough), (FlowTable.Find(rig.Segment, "own"u8), PolicyOf(rig, flow)));
        Assert.Equal(0, rig.Do(XsegOp.Snapshot, "own", source: "s").Status);
        Close(rig, "own@s", rig.Open("own@s", RequestFlags.ReadOnly), RequestFlags.ReadOnly);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "own@s").Status);
        rig.UntilIdle();
        rig.MapperdNode.Until(() => FlowTable.Find(rig.Segment, "own@s"u8) == 0, "the snapshot's flow stays");
        Assert.Equal(0, rig.Do(XsegOp.Rename, "own", source: "other").Status);
        rig.MapperdNode.Until(() => FlowTable.Find(rig.Segment, "own"u8) == 0, "the old name's flow stays");
        Use(rig, "other", 2, creates: false);
        Assert.Equal(0, rig.Do(XsegOp.Delete, "other").Status);
        rig.UntilIdle();
        rig.MapperdNode.Until(() => FlowTable.Find(rig.Segment, "other"u8) == 0, "the volume's flow stays");
    }

    [Theory]
    [InlineData("mapperd", false)]
    [InlineData("mapperd", true)]
    [InlineData("cached", false)]
    [InlineData("both", false)]
    [InlineData("vlmcd", false)]
    public async Task Killed_while_flows_are_being_freed_nothing_is_lost_and_it_goes_on(string who, bool reopens)
    {
        using var rig = NewRig(flows: 16);
        uint dirty = OpenDirty(rig, "dirty", 77);
        int used = 0;
        while (FlowTable.CountFree(rig.Segment) > 2) Use(rig, $"v{used}", used++);
        // What RETIRE asks of the store hangs.
        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Flush);
        Assert.Equal(0, rig.Do(XsegOp.Create, "more", length: Size).Status);
        Assert.Equal(0, rig.Do(XsegOp.Create, "most", length: Size).Status);
        for (uint flow = 1; flow < rig.Segment.FlowCount && FlowTable.CountFree(rig.Segment) > 0; flow++)
            FlowTable.FindOrUse(rig.Segment, System.Text.Encoding.ASCII.GetBytes($"taken{flow}"));
        var open = rig.ClientNode.Begin(() => rig.Client.Do("volumes", XsegOp.Open, "more"));
        rig.Store.Until(() => rig.Cut.Stopped > 0, "no flow is being freed");
        Assert.Contains(Enumerable.Range(1, 15), flow => StateOf(rig, (uint)flow) == 3);
        // Who opens one of those has it back, as it was.
        var again = reopens ? rig.ClientNode.Begin(() => rig.Client.Do("volumes", XsegOp.Open, "v0")) : null;
        if (reopens) rig.MapperdNode.Until(() => again!.IsCompleted, "what is being freed cannot be opened");
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        if (who is "cached" or "both") rig.KillCached();
        if (who is "mapperd" or "both") rig.KillMapperd();
        if (who == "vlmcd") rig.KillVlmcd();
        Assert.Equal(0, (await open.WaitAsync(TimeSpan.FromSeconds(60))).Status);
        if (reopens) Reads(rig, "v0", (await again!).Flow, 0, 0);
        for (int i = reopens ? 1 : 0; i < used; i++)
        {
            uint flow = rig.Open($"v{i}");
            Reads(rig, $"v{i}", flow, i, (ulong)(i % 4) * Rig.ObjectSize);
            Close(rig, $"v{i}", flow);
        }

        Reads(rig, "dirty", dirty, 77, 0);
        Assert.Equal(0, rig.Do(XsegOp.Flush, "dirty", dirty).Status);
        for (uint flow = 1; flow < rig.Segment.FlowCount; flow++) Assert.NotEqual(3u, StateOf(rig, flow));
    }

    [Fact]
    public void A_damaged_entry_hurts_nobody_else()
    {
        using var rig = NewRig(flows: 24);
        uint dirty = OpenDirty(rig, "dirty", 77);
        for (int i = 0; i < 10; i++) Use(rig, $"v{i}", i);
        var random = new Random(5);
        for (int round = 0; round < 30; round++)
        {
            uint victim = FlowTable.Find(rig.Segment, System.Text.Encoding.ASCII.GetBytes($"v{round % 10}"));
            if (victim != 0)
            {
                for (int i = 0; i < 4; i++) Damage(rig, victim, random.Next(104), random.Next(8));
                if (round % 3 == 0) Damage(rig, victim, 256, 0);
            }

            Use(rig, $"w{round}", round);
            Reads(rig, "dirty", dirty, 77, 0);
        }

        Assert.Equal(0, rig.Do(XsegOp.Flush, "dirty", dirty).Status);
        for (int round = 0; round < 30; round++)
        {
            uint flow = rig.Open($"w{round}");
            Reads(rig, $"w{round}", flow, round, (ulong)(round % 4) * Rig.ObjectSize);
            Close(rig, $"w{round}", flow);
        }
    }

    private static unsafe void Damage(Rig rig, uint flow, int at, int bit) => ((byte*)rig.Segment.FlowAt(flow))[at] ^= (byte)(1 << bit);
}
