using System.Diagnostics;
using System.Globalization;
using Archipelago.Librados.Tests;
using Archipelago.Locks;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Xunit;

namespace Archipelago.Radosd.Tests;

/// <summary>Two hosts, so two segments with a radosd each, on one pool: who has lost a volume writes nothing of it any more.</summary>
[Collection(MemoryClusterGroup.Name)]
public sealed class LockTests(MemoryCluster cluster)
{
    private const ulong Lost = 0xaaaa, Kept = 0xbbbb, Hour = 3_600_000_000_000;
    private static readonly byte[] Alice = Place.Random(64, 1), Bob = Place.Random(64, 2);

    [Fact]
    public void A_stopped_holder_that_wakes_up_after_its_lock_was_broken_writes_nothing_and_keeps_its_other_volume()
    {
        using var here = new Place(cluster);
        using var there = Beside(here);
        using var child = ChildProgram.Start(here);
        using var a = new XsegClient(here.SegmentPath);
        Assert.Equal((0, 1ul), Acquire(a, Lost, Alice, flow: 1, lease: 200_000_000));
        Assert.Equal((0, 1ul), Acquire(a, Kept, Alice, flow: 2, lease: 0));
        Bind(a, 1, Lost, 1);
        Bind(a, 2, Kept, 1);
        byte[] stale = Place.Random(4096, 3), fresh = Place.Random(4096, 4), other = Place.Random(4096, 5);
        Assert.Equal(0, a.Do(XsegOp.Write, "lost", data: stale, flow: 1).Status);
        Assert.Equal(0, a.Do(XsegOp.Write, "kept", data: stale, flow: 2).Status);
        string former = AddressIn(here);
        Assert.Equal(former, Record(a, Lost).Address);

        Request lost, kept;
        using var host = new RadosdHost(there.SegmentPath, there.Options);
        using var b = new XsegClient(there.SegmentPath);
        Signal(child, "STOP");
        try
        {
            lost = a.Send(XsegOp.Write, XsegClient.Name("lost"), data: stale, flow: 1);
            kept = a.Send(XsegOp.Write, XsegClient.Name("kept"), data: other, flow: 2);
            Assert.Equal((0, 2ul), Acquire(b, Lost, Bob, flow: 1, lease: Hour, waits: true));
            Assert.Equal("", Record(b, Lost).Fence);
            Bind(b, 1, Lost, 2);
            Assert.Equal(0, b.Do(XsegOp.Write, "lost", data: fresh, flow: 1).Status);
            Assert.False(a.IsAnswered(lost) || a.IsAnswered(kept));
        }
        finally
        {
            Signal(child, "CONT");
        }

        Assert.Equal(Errno.ESTALE, a.Wait(lost));
        Assert.Equal(0, a.Wait(kept));
        a.Free(lost);
        a.Free(kept);
        Assert.Equal(fresh, b.Read("lost", 4096));
        Assert.Equal(other, b.Read("kept", 4096));
        Assert.Equal(Errno.ESTALE, a.Do(XsegOp.Write, "lost", data: stale, flow: 1).Status);
        Assert.Equal(Errno.EBUSY, Acquire(a, Lost, Alice, flow: 1, lease: Hour).Status);
        Assert.NotEqual(former, AddressIn(here));
        Assert.Equal((AddressIn(here), 1ul), (Record(b, Kept).Address, Record(b, Kept).Epoch));
        Assert.Equal(fresh, b.Read("lost", 4096));
        Assert.Equal(0, b.Do(XsegOp.Write, "lost", data: other, flow: 1).Status);
        child.StandardInput.Close();
        Assert.True(child.WaitForExit(60_000));
    }

    [Fact]
    public void What_is_in_flight_when_a_lock_is_broken_passes_the_gate_again_before_it_is_repeated()
    {
        const int Most = 24, Rounds = 400;
        using var here = new Place(cluster);
        using var there = Beside(here);
        using var first = new RadosdHost(here.SegmentPath, here.Options);
        using var second = new RadosdHost(there.SegmentPath, there.Options);
        using var a = new XsegClient(here.SegmentPath);
        using var b = new XsegClient(there.SegmentPath);
        Assert.Equal((0, 1ul), Acquire(a, Lost, Alice, flow: 1, lease: Hour));
        Assert.Equal((0, 1ul), Acquire(a, Kept, Alice, flow: 2, lease: Hour));
        Bind(a, 1, Lost, 1);
        Bind(a, 2, Kept, 1);
        var flying = new Queue<(uint Flow, bool Late, Request Request)>();
        var breaking = default(Request);
        int refused = 0, next = 0;
        bool broken = false;
        int until = Rounds;
        while (next < until || !broken)
        {
            while (flying.Count >= Most) TakeOne();
            uint flow = (uint)(1 + (next & 1));
            flying.Enqueue((flow, broken, a.Send(XsegOp.Write, XsegClient.Name($"o{flow}.{(next >> 1) % 4}"), data: Place.Random(4096, next), flow: flow)));
            next++;
            if (next == Rounds / 2) breaking = b.Send(XsegOp.Release, LockName.Of(Lost), cookie: Bob, flags: RequestFlags.Force);
            if (next <= Rounds / 2 || broken || !b.IsAnswered(breaking)) continue;
            (broken, until) = (true, next + Rounds / 2);
            Assert.Equal(0, b.Wait(breaking));
            b.Free(breaking);
            Assert.Equal((0, 3ul), Acquire(b, Lost, Bob, flow: 1, lease: Hour));
            Bind(b, 1, Lost, 3);
            for (int i = 0; i < 4; i++) Assert.Equal(0, b.Do(XsegOp.Write, $"o1.{i}", data: Place.Random(4096, -1 - i), flow: 1).Status);
        }

        while (flying.Count > 0) TakeOne();
        Assert.True(refused > 0);
        Assert.Equal(1, first.Rados.TimesFenced);
        for (int i = 0; i < 4; i++) Assert.Equal(Place.Random(4096, -1 - i), b.Read($"o1.{i}", 4096));
        for (int i = next - 8; i < next; i++)
            if ((i & 1) == 1) Assert.Equal(Place.Random(4096, i), b.Read($"o2.{(i >> 1) % 4}", 4096));

        void TakeOne()
        {
            var (flow, late, request) = flying.Dequeue();
            int status = a.Wait(request);
            a.Free(request);
            if (flow == 1 && status == Errno.ESTALE) refused++;
            // One that was in flight may have been done, whichever others were not; one that came after the break was not.
            else Assert.True(status == 0 && !(flow == 1 && late), $"flow {flow}, late {late}: {status}");
        }
    }

    [Fact]
    public void A_user_who_may_not_blocklist_breaks_no_lock()
    {
        using var guarded = new DevCluster("memstore", authentication: "cephx");
        using var place = new Place(guarded);
        string keyring = Path.Combine(guarded.Directory, "limited-keyring");
        Run("ceph", "-c", guarded.ConfigFile, "auth", "get-or-create", "client.limited", "mon", "allow r", "osd", "allow rwx", "-o", keyring);
        string conf = Path.Combine(guarded.Directory, "limited.conf");
        File.WriteAllText(conf, File.ReadAllText(guarded.ConfigFile) + $"\n[client.limited]\n\tkeyring = {keyring}\n");
        using var host = new RadosdHost(place.SegmentPath, place.Options with { CephConf = conf, Client = "limited" });
        using var client = new XsegClient(place.SegmentPath);
        var held = new LockRecord { Held = true, Epoch = 1, Cookie = Alice, Address = "127.0.0.1:0/3000000001" };
        client.Write("l.000000000000aaaa", held.ToBytes());
        Assert.Equal(Errno.EACCES, client.Do(XsegOp.Release, "l.000000000000aaaa", cookie: Bob, flags: RequestFlags.Force).Status);
        Assert.Equal(held.Address, Record(client, Lost).Fence);
        Assert.Equal(Errno.EACCES, Acquire(client, Lost, Bob, flow: 1, lease: Hour).Status);
        Assert.Contains("profile rbd", host.Logs.Text);
    }

    private Place Beside(Place place)
    {
        var other = new Place(cluster);
        other.Options = other.Options with { Namespace = place.Options.Namespace };
        return other;
    }

    private static (int Status, ulong Epoch) Acquire(XsegClient by, ulong id, byte[] cookie, uint flow, ulong lease, bool waits = false)
    {
        var outcome = by.Do(XsegOp.Acquire, System.Text.Encoding.ASCII.GetString(LockName.Of(id)), 0, lease, cookie: cookie, flow: flow, flags: waits ? 0 : RequestFlags.NoSync);
        return (outcome.Status, outcome.Serviced);
    }

    private static LockRecord Record(XsegClient by, ulong id) => LockRecord.Parse(by.Read(System.Text.Encoding.ASCII.GetString(LockName.Of(id)), LockRecord.Size), out _)!;

    private static unsafe void Bind(XsegClient at, uint flow, ulong id, ulong epoch)
    {
        at.Segment.FlowAt(flow)->LockId = id;
        at.Segment.FlowAt(flow)->LockEpoch = epoch;
    }

    private static string AddressIn(Place place) => File.ReadAllLines(place.StatePath)[2]["address=".Length..];

    private static void Signal(Process to, string signal) => Run("kill", $"-{signal}", to.Id.ToString(CultureInfo.InvariantCulture));

    private static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error);
    }
}
