using Archipelago.Mapperd;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Simulation;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>A host that hangs between two requests to the store, loses its locks meanwhile, and wakes up, has changed nothing that another one has gone on with.</summary>
public sealed class HungHostTests
{
    /// <summary>It hangs before the root of a SNAPSHOT. The next holder has read the record, which nothing counts yet, and is about to free it.</summary>
    [Fact]
    public void A_snapshot_that_a_hung_host_commits_has_its_record()
    {
        using var two = new TwoHosts();
        two.Do(two.Here, XsegOp.Create, "disk", 64 << 12);
        // A place behind the root that was used before.
        two.Do(two.Here, XsegOp.Snapshot, "disk", source: "s0");
        two.Do(two.Here, XsegOp.Delete, "disk@s0");
        two.Until(() => two.Here.Mapperd.Volumes.Purges == 0, "removal");
        var snapshot = two.Here.OnClient(() => two.Here.Client.Do("volumes", XsegOp.Snapshot, "disk", source: "s1"));
        two.Until(() => two.Here.Mapperd.Volumes.Table.Find("disk") is { IsRebuilding: true, Root: { NextSnapshot: 2 } } volume && volume.Slots.Count > 0 && volume.Slots[0] != null, "the record is written");
        two.Hang(two.Here, true);
        two.Run(two.There, async () => { await two.There.Mapperd.Volumes.BreakLockAsync("disk"); return true; }, onMapperd: true);
        var open = two.There.OnClient(() => two.There.Client.Do("volumes", XsegOp.Open, "disk"));
        two.Until(() => two.There.Mapperd.Volumes.Table.Find("disk") is { Leftovers.Count: > 0, Head: not null }, "loaded");
        two.There[Part.Mapperd].IsHung = true;
        two.World.RunFor(TimeSpan.FromMilliseconds(100));
        two.Hang(two.Here, false);
        int made = two.StatusOf(snapshot);
        two.There[Part.Mapperd].IsHung = false;
        int opened = two.StatusOf(open);
        var seen = two.Run(two.There, () => two.There.Mapperd.Volumes.LookAsync("disk"), onMapperd: true);
        Assert.True(seen.Root!.Parent == 0 || seen.Find(seen.Root.Parent) != null, $"the head comes from snapshot {seen.Root.Parent}, of which there is no record");
        Assert.True(made != 0 || seen.Find("s1") != null, "the snapshot was answered, and is lost");
        // Whoever comes too late is told, and does it again.
        Assert.True(opened is 0 or Errno.ESTALE, $"OPEN: {opened}");
        if (opened != 0) two.Do(two.There, XsegOp.Open, "disk");
    }

    /// <summary>It hangs while it deletes the object of a free name; another host takes the name when the lease of its lock has run out.</summary>
    [Fact]
    public void A_name_that_another_host_has_given_to_a_volume_is_not_deleted_by_a_host_that_wakes_up()
    {
        int tried = 0;
        for (int steps = 0; steps < 400; steps += 2)
        {
            using var two = new TwoHosts();
            two.Do(two.Here, XsegOp.Create, "disk", 64 << 12);
            two.Do(two.Here, XsegOp.Delete, "disk");
            for (int i = 0; i < steps; i++) two.World.Step();
            if (two.Here.Mapperd.Volumes.Purges == 0) break;
            two.Hang(two.Here, true);
            if (!two.TryPatiently(two.There, XsegOp.Create, "disk", 64 << 12)) continue;
            tried++;
            two.Hang(two.Here, false);
            two.Until(() => two.Here.Mapperd.Volumes.Purges == 0, "background work");
            int status = two.Run(two.There, () => two.There.Client.Do("volumes", XsegOp.Open, "disk")).Status;
            Assert.True(status == 0, $"after {steps} steps: the volume was made, answered, and OPEN says {status}");
        }

        Assert.True(tried > 5, $"{tried} tries");
    }

    /// <summary>
    /// Who makes a clone hangs, and so does who takes that for cut off: whichever wakes first, in the end there is a whole volume that the catalogue lists, or none, and its base can be deleted
    /// just then.
    /// </summary>
    [Fact]
    public void A_clone_that_two_hosts_take_for_theirs_is_whole_or_does_not_exist()
    {
        int[] outcomes = [0, 0];
        // Of the one host the steps from its record of the clone to the name, of the other those from the lock that it breaks to the last that it removes.
        for (int steps = 8; steps < 48; steps += 4)
        {
            for (int more = 20; more < 60; more += 2)
            {
                using var two = new TwoHosts();
                two.Do(two.Here, XsegOp.Create, "base", 64 << 12);
                two.Do(two.Here, XsegOp.Snapshot, "base", source: "s");
                var made = two.Here.OnClient(() => two.Here.Client.Do("volumes", XsegOp.Clone, "disk", source: "base@s"));
                for (int i = 0; i < steps && !made.IsCompleted; i++) two.World.Step();
                Assert.False(made.IsCompleted, $"the clone is made in {steps} steps");
                two.Hang(two.Here, true);
                var volumes = two.There.Mapperd.Volumes;
                two.Run(two.There, () => { volumes.StartSettling(); return Task.FromResult(true); }, onMapperd: true);
                // It tries again after twice as long each time: the first try after the lease is that after 10.23 s.
                two.World.RunFor(TimeSpan.FromSeconds(10.2));
                for (int i = 0; i < more; i++) two.World.Step();
                two.Hang(two.There, true);
                two.Hang(two.Here, false);
                two.World.RunFor(TimeSpan.FromSeconds(12));
                two.Hang(two.There, false);
                two.Until(() => made.IsCompleted && volumes is { IsSettled: true, Purges: 0 } && two.Here.Mapperd.Volumes is { IsSettled: true, Purges: 0 }, "all settled");
                int opened = two.Run(two.There, () => two.There.Client.Do("volumes", XsegOp.Open, "disk")).Status;
                Assert.True(opened is 0 or Errno.ENOENT, $"steps {steps} and {more}: OPEN {opened}");
                Assert.True(two.StatusOf(made) != 0 || opened == 0, $"steps {steps} and {more}: the clone was answered, and OPEN says {opened}");
                int deleted = two.Run(two.There, () => two.There.Client.Do("volumes", XsegOp.Delete, "base@s")).Status;
                Assert.True(deleted == (opened == 0 ? Errno.EBUSY : 0), $"steps {steps} and {more}: OPEN {opened}, DELETE of its base {deleted}");
                outcomes[opened == 0 ? 1 : 0]++;
            }
        }

        Assert.DoesNotContain(0, outcomes);
    }

    private sealed class TwoHosts : IDisposable
    {
        private readonly MemdPeer _store = new(new MemdOptions());

        internal TwoHosts()
        {
            var plan = new HostPlan(new MapperdOptions { ObjectSize = 4096, Lease = TimeSpan.FromSeconds(5), Owner = "test", FirstRetry = TimeSpan.FromMilliseconds(10) }, FanOut: 4, HasCache: false);
            (Here, There) = (new SimHost(World, plan, _store), new SimHost(World, plan, _store));
        }

        internal SimWorld World { get; } = new(1) { Patience = 10_000_000 };
        internal SimHost Here { get; }
        internal SimHost There { get; }

        internal void Hang(SimHost host, bool hangs)
        {
            foreach (var part in host.Parts) host[part].IsHung = hangs;
        }

        internal void Do(SimHost host, XsegOp op, string name, ulong length = 0, string? source = null) =>
            Assert.Equal(0, Run(host, () => host.Client.Do("volumes", op, name, 0, 0, length, source: source)).Status);

        /// <summary>Tries it for longer than a lease.</summary>
        internal bool TryPatiently(SimHost host, XsegOp op, string name, ulong length)
        {
            for (int tries = 0; tries < 30; tries++)
            {
                if (Run(host, () => host.Client.Do("volumes", op, name, 0, 0, length)).Status == 0) return true;
                World.RunFor(TimeSpan.FromSeconds(1));
            }

            return false;
        }

        internal void Until(Func<bool> done, string what) => World.RunUntil(done, what);

        internal int StatusOf(Task<Vlmcd.Tests.Answer> request)
        {
            World.RunUntil(() => request.IsCompleted, "request");
            return request.GetAwaiter().GetResult().Status;
        }

        internal T Run<T>(SimHost host, Func<Task<T>> work, bool onMapperd = false)
        {
            var task = onMapperd ? host.OnMapperd(work) : host.OnClient(work);
            World.RunUntil(() => task.IsCompleted, "request");
            return task.GetAwaiter().GetResult();
        }

        public void Dispose()
        {
            Here.Dispose();
            There.Dispose();
            _store.Dispose();
        }
    }
}
