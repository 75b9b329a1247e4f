using Archipelago.Xseg.Memory;
using Xunit;

namespace Archipelago.Xseg.Tests.Rings;

public class RingTests
{
    [Fact]
    public void AFreshRingIsEmpty()
    {
        using var ring = new TestRing(16);
        Assert.False(ring.Consumer().TryPop(out _, out _));
    }

    [Theory]
    [InlineData(16, 300_000u)]
    [InlineData(1024, 5_000_000u)]
    public void TwoThreadsPassMillionsOfEntriesInOrderOverAllLaps(int capacity, uint total)
    {
        // The lap byte (1 to 255) wraps 73 and 19 times.
        using var ring = new TestRing(capacity);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        var thread = new Thread(() =>
        {
            for (uint i = 0; i < total; i++)
            {
                var wait = default(SpinWait);
                while (!producer.TryPush(i & 0xFF_FFFF, i ^ 0x5555_5555)) wait.SpinOnce(-1);
            }
        });
        thread.Start();
        var idle = default(SpinWait);
        for (uint i = 0; i < total;)
        {
            if (!consumer.TryPop(out uint slot, out uint generation))
            {
                consumer.PublishHead();
                idle.SpinOnce(-1);
                continue;
            }

            if (slot != (i & 0xFF_FFFF) || generation != (i ^ 0x5555_5555)) Assert.Fail($"entry {i}: got {slot}/{generation:x}");
            if ((++i & 3) == 0) consumer.PublishHead();
        }

        thread.Join();
        Assert.False(consumer.HasMore);
    }

    [Fact]
    public void AFullRingRefusesUntilTheHeadIsPublished()
    {
        using var ring = new TestRing(16);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        for (uint i = 0; i < 16; i++) Assert.True(producer.TryPush(i, 1));
        Assert.False(producer.TryPush(16, 1));
        Assert.True(consumer.TryPop(out _, out _));
        Assert.False(producer.TryPush(16, 1));
        consumer.PublishHead();
        Assert.True(producer.TryPush(16, 1));
        Assert.False(producer.TryPush(17, 1));
    }

    [Fact]
    public void BothEndsRestartedAnywhereLoseNothingAndRepeatOnlyWhatWasNotPublished()
    {
        using var ring = new TestRing(16);
        var random = new Random(7);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        uint pushed = 0, popped = 0, published = 0;
        for (int step = 0; step < 200_000; step++)
        {
            switch (random.Next(8))
            {
                case 0 or 1 or 2:
                    if (producer.TryPush(pushed & 0xFF_FFFF, pushed)) pushed++;
                    else Assert.Equal(16u, pushed - published);
                    break;
                case 3 or 4 or 5:
                    if (consumer.TryPop(out _, out uint generation)) Assert.Equal(popped++, generation);
                    else Assert.Equal(pushed, popped);
                    break;
                case 6:
                    consumer.PublishHead();
                    published = popped;
                    break;
                default:
                    if (random.Next(2) == 0) producer = ring.Producer();
                    else (consumer, popped) = (ring.Consumer(), published);
                    break;
            }
        }

        Assert.True(pushed > 10_000);
    }

    [Fact]
    public void AProducerKilledBetweenEntryAndTailIsContinuedBehindItsEntry()
    {
        for (int before = 0; before < 40; before++)
        {
            using var ring = new TestRing(16);
            var (producer, consumer) = (ring.Producer(), ring.Consumer());
            uint expected = 0;
            for (uint i = 0; i < before; i++)
            {
                Assert.True(producer.TryPush(i, i));
                Assert.True(consumer.TryPop(out _, out _));
                consumer.PublishHead();
                expected++;
            }

            CrashPoint.Arm(1);
            Assert.Throws<CrashException>(() => producer.TryPush(99, 99));
            CrashPoint.Disarm();
            Assert.True(ring.Producer().TryPush(100, 100));
            Assert.True(consumer.TryPop(out uint first, out _));
            Assert.True(consumer.TryPop(out uint second, out _));
            Assert.Equal((99u, 100u), (first, second));
            Assert.False(consumer.TryPop(out _, out _));
        }
    }

    [Fact]
    public void DamagedEntriesArePassedOver()
    {
        using var ring = new TestRing(16);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        for (uint i = 0; i < 6; i++) producer.TryPush(i, i);
        ring.Entry(0) = 0xDEAD_0000_FF00_0000;
        ring.Entry(1) = 0;
        Assert.False(consumer.TryPop(out _, out _));
        Assert.Equal(2, consumer.SkipDamaged());
        for (uint i = 2; i < 6; i++)
        {
            Assert.True(consumer.TryPop(out uint slot, out _));
            Assert.Equal(i, slot);
        }
    }

    [Fact]
    public void ABusyConsumerThatNeverSleepsPassesDamageOverToo()
    {
        using var ring = new TestRing(16);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        producer.TryPush(1, 1);
        producer.TryPush(2, 2);
        ring.Entry(0) = 0;
        for (int poll = 0; poll < 1_000_000; poll++)
        {
            if (!consumer.TryPop(out uint slot, out _)) continue;
            Assert.Equal(2u, slot);
            return;
        }

        Assert.Fail("one damaged entry blocks the link of a busy consumer for ever");
    }

    [Theory]
    [InlineData(0ul)]
    [InlineData(5ul)]
    [InlineData(1000ul)]
    [InlineData(1012ul)]
    [InlineData(1020ul)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 40)]
    public void ADamagedTailDoesNotStopTheLink(ulong tail)
    {
        using var ring = new TestRing(16);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        Pass(producer, consumer, 1005);
        ring.Tail = tail;
        consumer.SkipDamaged();
        AssertGoesOn(ring, producer, consumer);
    }

    [Theory]
    [InlineData(0ul)]
    [InlineData(5ul)]
    [InlineData(1000ul)]
    [InlineData(1012ul)]
    [InlineData(1020ul)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 40)]
    public void ADamagedTailDoesNotStopARestartedProducer(ulong tail)
    {
        using var ring = new TestRing(16);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        Pass(producer, consumer, 1005);
        ring.Tail = tail;
        AssertGoesOn(ring, ring.Producer(), consumer);
    }

    [Theory]
    [InlineData(0ul)]
    [InlineData(5ul)]
    [InlineData(1000ul)]
    [InlineData(1012ul)]
    [InlineData(1020ul)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 40)]
    public void ADamagedHeadDoesNotStopTheLink(ulong head)
    {
        using var ring = new TestRing(16);
        var (producer, consumer) = (ring.Producer(), ring.Consumer());
        Pass(producer, consumer, 1005);
        ring.Head = head;
        AssertGoesOn(ring, producer, consumer);
        ring.Head = head;
        AssertGoesOn(ring, producer, ring.Consumer());
    }

    private static void Pass(RingProducer producer, RingConsumer consumer, uint count)
    {
        for (uint i = 0; i < count; i++)
        {
            Assert.True(producer.TryPush(i, i));
            Assert.True(consumer.TryPop(out _, out _));
            consumer.PublishHead();
        }
    }

    /// <summary>Of 40 entries sent one by one, some may be lost and some be met twice, but the last 20 arrive.</summary>
    private static void AssertGoesOn(TestRing ring, RingProducer producer, RingConsumer consumer)
    {
        var seen = new HashSet<uint>();
        for (uint i = 0; i < 40; i++)
        {
            Assert.True(producer.TryPush(i, 0xABCD_0000 + i));
            for (int poll = 0; poll < 64; poll++)
            {
                while (consumer.TryPop(out _, out uint generation)) seen.Add(generation);
                consumer.PublishHead();
                consumer.SkipDamaged();
            }
        }

        for (uint i = 20; i < 40; i++) Assert.Contains(0xABCD_0000 + i, seen);
        Assert.Equal(0, consumer.SkipDamaged());
        Assert.False(consumer.HasMore);
    }
}
