using Archipelago.Runtime;

namespace Archipelago.Locks.Tests;

/// <summary>The blocker dies before each step of the store; its successor is handed the same request again.</summary>
public sealed class CrashTests
{
    [Fact]
    public void A_break_that_died_anywhere_is_completed_by_its_replay_and_nobody_writes_before_the_fence()
    {
        int deaths = 0;
        for (int step = 0; ; step++)
        {
            var world = new World();
            using var a = new FakeBlocker(world, "A");
            using var b = new FakeBlocker(world, "B");
            using var successor = new FakeBlocker(world, "B2");
            a.Acquire(Rig.Ask(Rig.Alice));
            Assert.Equal(Errno.EBUSY, b.Acquire(Rig.Ask(Rig.Bob)).Status);
            Assert.Equal(Errno.EBUSY, successor.Acquire(Rig.Ask(Rig.Bob)).Status);
            world.Pass(2 * Rig.Lease);
            b.StepsLeft = step;
            if (!Dies(() => b.Acquire(Rig.Ask(Rig.Bob)))) break;
            deaths++;
            Assert.Equal((0, 2ul), successor.Acquire(Rig.Ask(Rig.Bob, replayed: true)));
            Assert.Contains("A", world.Fenced);
            Assert.Equal(("B2", "", 2ul), (world.Record(Rig.Name).Address, world.Record(Rig.Name).Fence, world.Record(Rig.Name).Epoch));
            successor.Bind(1, Rig.Id, 2);
            Assert.Equal(0, successor.Change(1));
        }

        // Read, swap, fence, swap.
        Assert.Equal(4, deaths);
    }

    [Theory]
    [InlineData(false, 2)]
    [InlineData(true, 4)]
    public void A_release_that_died_anywhere_is_completed_by_its_replay(bool force, int steps)
    {
        int deaths = 0;
        byte[] cookie = force ? Rig.Bob : Rig.Alice;
        for (int step = 0; ; step++)
        {
            var world = new World();
            using var a = new FakeBlocker(world, "A");
            using var b = new FakeBlocker(world, "B");
            using var successor = new FakeBlocker(world, "B2");
            a.Acquire(Rig.Ask(Rig.Alice));
            b.StepsLeft = step;
            if (!Dies(() => b.Release(Rig.Ask(cookie, force: force)))) break;
            deaths++;
            Assert.Equal(0, successor.Release(Rig.Ask(cookie, force: force, replayed: true)));
            var record = world.Record(Rig.Name);
            Assert.Equal((false, ""), (record.Held, record.Fence));
            Assert.Equal(force, world.Fenced.Contains("A"));
            Assert.Equal(force ? 2ul : 1ul, record.Epoch);
        }

        Assert.Equal(steps, deaths);
    }

    [Fact]
    public void Taking_and_renewing_may_die_anywhere()
    {
        foreach (bool held in (bool[])[false, true])
        {
            for (int step = 0; step < 2; step++)
            {
                var world = new World();
                using var a = new FakeBlocker(world, "A");
                using var successor = new FakeBlocker(world, "A2");
                if (held) a.Acquire(Rig.Ask(Rig.Alice));
                a.StepsLeft = step;
                Assert.True(Dies(() => a.Acquire(Rig.Ask(Rig.Alice))));
                Assert.Equal((0, 1ul), successor.Acquire(Rig.Ask(Rig.Alice, replayed: true)));
                Assert.Equal("A2", world.Record(Rig.Name).Address);
            }
        }
    }

    private static bool Dies(Action work)
    {
        try
        {
            work();
            return false;
        }
        catch (DiedException)
        {
            return true;
        }
    }
}
