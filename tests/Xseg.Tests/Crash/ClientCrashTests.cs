using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>A client is killed in each of its protocols.</summary>
public class ClientCrashTests
{
    /// <summary>Claim slot, prepare, attach pages (inline, and with an indirect list), publish.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(40)]
    public void KilledWhileItSubmitsAWrite(int pages) => Killing.BeforeEachStore(
        () => Filled(pages),
        world => world.Write(0, pages, 2),
        (world, died) =>
        {
            // The old content, or what the cache had taken before the fence.
            world.Doubt(0, pages);
            world.KillClient();
            world.RecoverClient();
            Assert.Equal(0, world.Cache.Serve());
            world.AssertSound();
        });

    [Theory]
    [InlineData(1)]
    [InlineData(40)]
    public void KilledWhileItSubmitsAWriteThatTheCacheServesBeforeTheFence(int pages) => Killing.BeforeEachStore(
        () => Filled(pages),
        world => world.Write(0, pages, 2),
        (world, died) =>
        {
            world.Doubt(0, pages);
            world.KillClient();
            world.Cache.Serve();
            world.RecoverClient();
            world.AssertSound();
        });

    [Theory]
    [InlineData(2)]
    [InlineData(40)]
    public void KilledWhileItTakesAnAnswerAndFreesItsRequest(int pages) => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(pages);
            world.Write(0, pages, 2);
            world.Cache.Serve();
            return world;
        },
        world => world.Client.Free(world.Receive()),
        (world, died) =>
        {
            world.Acknowledge(0, pages, 2);
            world.KillClient();
            world.RecoverClient();
            world.AssertSound();
        });

    [Theory]
    [InlineData(2)]
    [InlineData(40)]
    public void KilledWhileItReadsLentPages(int pages) => Killing.BeforeEachStore(
        () =>
        {
            var world = Filled(pages);
            world.Read(0, pages);
            world.Cache.Serve();
            // Replaced while lent: the reader still sees the old ones, which wait in limbo.
            return world;
        },
        world =>
        {
            var request = world.Receive();
            Assert.True(request.TryData(out var data));
            for (int i = 0; i < pages; i++) Assert.Equal(1ul, World.StampOf(data, i));
            world.Client.Free(request);
        },
        (world, died) =>
        {
            world.KillClient();
            world.RecoverClient();
            world.AssertSound();
        });

    [Fact]
    public void KilledBetweenTheWakeUpAndItsFlagTheServerIsWokenByTheNextOne()
    {
        Killing.BeforeEachStore(
            () =>
            {
                var world = Filled(1);
                Assert.True(world.Cache.Port.PrepareToSleep());
                return world;
            },
            world =>
            {
                world.Client.Ping(world.Cache.Port.Number);
                world.Client.Kick();
            },
            (world, died) =>
            {
                bool asleep = world.Observer.IsAsleep(world.Cache.Port.Number);
                using var other = TestSegment.Bind(world.Join(), "other");
                other.Ping(world.Cache.Port.Number);
                other.Kick();
                Assert.True(world.Cache.Port.WakeHandle.IsReadable(), $"asleep for ever (flag {asleep})");
            });
    }

    private static World Filled(int pages)
    {
        var world = new World();
        world.WriteThrough(0, pages, 1);
        return world;
    }
}
