using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>The cache is killed in each of its protocols, and its successor finishes what it had accepted.</summary>
public unsafe class CacheCrashTests
{
    /// <summary>Accept, adopt, retire the replaced pages, reply, announce.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(30)]
    public void KilledWhileItAdoptsTheWriteIsAnsweredAndWhole(int pages) => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(pages);
            world.Write(0, pages, 2);
            return world;
        },
        world => world.Cache.Serve(),
        (world, died) =>
        {
            world.KillCache();
            world.RecoverCache();
            world.Cache.Serve();
            var answer = world.Receive();
            Assert.Equal(0, answer.Status);
            world.Client.Free(answer);
            world.Acknowledge(0, pages, 2);
            world.AssertSound();
        });

    [Fact]
    public void KilledWhileItAdoptsAndTheClientDiesToo() => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(3);
            world.Write(0, 3, 2);
            return world;
        },
        world => world.Cache.Serve(),
        (world, died) =>
        {
            world.Doubt(0, 3);
            world.KillCache();
            world.KillClient();
            // In both orders: the observer's process id decides nothing, the store count does.
            world.RecoverCache();
            world.RecoverClient();
            world.AssertSound();
        });

    [Fact]
    public void KilledWhileItAdoptsAndTheClientIsTakenOverFirst() => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(3);
            world.Write(0, 3, 2);
            return world;
        },
        world => world.Cache.Serve(),
        (world, died) =>
        {
            world.Doubt(0, 3);
            world.KillCache();
            world.KillClient();
            world.RecoverClient();
            world.RecoverCache();
            Assert.Empty(world.Cache.Port.Recovered.Replays);
            world.AssertSound();
        });

    [Fact]
    public void KilledWhileItLendsTheReadIsAnswered() => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(3);
            world.Read(0, 3);
            return world;
        },
        world => world.Cache.Serve(),
        (world, died) =>
        {
            world.KillCache();
            world.RecoverCache();
            world.Cache.Serve();
            var answer = world.Receive();
            Assert.True(answer.TryData(out var data));
            for (int i = 0; i < 3; i++) Assert.Equal(1ul, World.StampOf(data, i));
            world.Client.Free(answer);
            world.AssertSound();
        });

    /// <summary>A reader keeps its loans over the death of the lender and over what its successor overwrites and drains.</summary>
    [Fact]
    public void LentPagesStayReadableWhileTheLenderDiesAndIsSucceeded() => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(3);
            world.Read(0, 3);
            world.Cache.Serve();
            world.Write(0, 3, 2);
            return world;
        },
        world =>
        {
            world.Cache.Serve();
            world.Cache.Port.Limbo.DrainPastSlowReaders();
        },
        (world, died) =>
        {
            world.KillCache();
            world.RecoverCache();
            world.Cache.Serve();
            world.Cache.Port.Limbo.DrainPastSlowReaders();
            var read = world.Receive();
            Assert.True(read.TryData(out var data));
            for (int i = 0; i < 3; i++) Assert.Equal(1ul, World.StampOf(data, i));
            world.Client.Free(read);
            world.Client.Free(world.Receive());
            world.Acknowledge(0, 3, 2);
            world.AssertSound();
        });

    [Fact]
    public void KilledWhileItRetiresAndDrains() => Killing.BeforeEachStore(
        () => Filled(3),
        world =>
        {
            world.Cache.Port.Limbo.Drain();
            for (uint page = 1; page < world.Observer.PageCount; page++)
                if (new PageWord(world.Observer.PageAt(page)->Word).State == PageState.Cache) world.Cache.Port.Limbo.Retire(page);
            world.Cache.Port.Limbo.Drain();
            world.Cache.Port.Limbo.DrainPastSlowReaders();
        },
        (world, died) =>
        {
            world.Doubt(0, 3);
            world.KillCache();
            world.RecoverCache();
            world.AssertSound();
        });

    /// <summary>Pages lent for one answer, without being cached: what a blocker does.</summary>
    [Fact]
    public void KilledWhileItLendsPagesOfItsShare() => Killing.BeforeEachStore(
        () => Filled(1),
        world =>
        {
            for (int i = 0; i < 3; i++)
            {
                Assert.True(world.Cache.Port.Pages.TryLend(world.Flow, out var extent));
                World.Fill(world.CacheSide, extent.Page, 7);
                world.Cache.Port.Limbo.Add(extent.Page);
            }
        },
        (world, died) =>
        {
            world.KillCache();
            world.RecoverCache();
            world.AssertSound();
        });

    /// <summary>Double crash: the write's cache died somewhere, and so does its successor, anywhere in taking over and replaying.</summary>
    [Fact]
    public void TheSuccessorIsKilledTooAndTheNextOneFinishes()
    {
        for (int first = 0; ; first++)
        {
            bool completed = false;
            Killing.BeforeEachStore(
                () =>
                {
                    var world = Filled(2);
                    world.Write(0, 2, 2);
                    completed = !Killing.Run(first, () => world.Cache.Serve());
                    world.KillCache();
                    return world;
                },
                world =>
                {
                    world.RecoverCache();
                    world.Cache.Serve();
                },
                (world, died) =>
                {
                    world.KillCache();
                    world.RecoverCache();
                    world.Cache.Serve();
                    var answer = world.Receive();
                    Assert.True(answer.Status == 0, $"first death before store {first}: status {answer.Status}");
                    world.Client.Free(answer);
                    world.Acknowledge(0, 2, 2);
                    world.AssertSound();
                });
            if (completed) return;
        }
    }

    /// <summary>Double crash of the client's side.</summary>
    [Fact]
    public void TheClientsSuccessorIsKilledTooAndTheNextOneIsSound()
    {
        for (int first = 0; ; first++)
        {
            bool completed = false;
            Killing.BeforeEachStore(
                () =>
                {
                    var world = Filled(2);
                    world.Doubt(0, 2);
                    completed = !Killing.Run(first, () => world.Write(0, 2, 2));
                    world.KillClient();
                    return world;
                },
                world => world.RecoverClient(),
                (world, died) =>
                {
                    world.KillClient();
                    world.RecoverClient();
                    world.AssertSound();
                });
            if (completed) return;
        }
    }

    /// <summary>
    /// client → middle → cache, and the middle and the cache die together (one process): the cache's exchange page is in the living
    /// client's slot, and the child that brought it there is gone. The middle's successor asks again.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void KilledWhileItAdoptsTogetherWithTheMiddleOne(bool isCacheFirst)
    {
        Segment? middleSide = null;
        Port? middle = null;
        Killing.BeforeEachStore(
            () =>
            {
                var world = Filled(3);
                middleSide = world.Join();
                middle = TestSegment.Bind(middleSide, "middle", 8);
                world.Write(0, 3, 2, middle.Number);
                middle.Clients();
                Assert.True(middle.TryAccept(world.Client.Number, out var parent));
                Pass(middle, parent, world);
                return world;
            },
            world => world.Cache.Serve(),
            (world, died) =>
            {
                middleSide!.Dispose();
                world.KillCache();
                middleSide = world.Join();
                if (isCacheFirst) world.RecoverCache();
                middle = TestSegment.Bind(middleSide, "middle", 8);
                if (!isCacheFirst) world.RecoverCache();
                world.Cache.Serve();
                Assert.True(middle.TryReplay(out var parent));
                Pass(middle, parent, world);
                world.Cache.Serve();
                Assert.True(middle.TryReceive(world.Cache.Port.Number, out var child));
                middle.Reply(parent, child.Status);
                middle.Free(child);
                Assert.True(world.Client.TryReceive(middle.Number, out var answer));
                Assert.Equal(0, answer.Status);
                world.Client.Free(answer);
                world.Acknowledge(0, 3, 2);
                middle.Dispose();
                world.AssertSound();
            });
    }

    private static void Pass(Port middle, in Request parent, World world)
    {
        Assert.True(parent.TryData(out var data));
        var child = middle.New(XsegOp.Write, 0, 3 << 12, world.Flow);
        middle.SetParent(child, parent);
        middle.Borrow(child, data, 0);
        Assert.True(middle.TrySubmit(child, world.Cache.Port.Number));
    }

    private static World Filled(int pages)
    {
        var world = new World();
        world.WriteThrough(0, pages, 1);
        return world;
    }
}
