using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Archipelago.Xseg.Tests.Crash;
using Xunit;

namespace Archipelago.Xseg.Tests.Tables;

/// <summary>A flow's number is another's only after nobody has it open, nobody has just asked for it, and what it was is forgotten.</summary>
public sealed unsafe class FlowRetirementTests : IDisposable
{
    private readonly TestSegment _segment = new();
    private readonly Port _gateway;

    public FlowRetirementTests() => _gateway = TestSegment.Bind(_segment.Join(), "gateway", 4);

    public void Dispose() => _segment.Dispose();

    private Segment First => _segment.First;

    private uint Use(string name, int user = -1) => FlowTable.FindOrUse(First, System.Text.Encoding.ASCII.GetBytes(name), user);

    private bool Free(uint flow, bool isGone = false) => FlowRetirement.Begin(First, [flow], isGone).Count == 1 && FlowRetirement.TryEnd(First, flow, isGone);

    [Fact]
    public void WhatNobodyUsesIsFreedTheOldestFirstAndItsNumberIsGivenToAnother()
    {
        uint first = Use("a"), second = Use("b");
        Use("a");
        Assert.Equal([second, first], FlowRetirement.Unused(First));
        var entry = First.FlowAt(second);
        (entry->HasFlushed, entry->LockEpoch, entry->Degraded, entry->Uncached) = (1, 7, 1, 1);
        ulong generation = entry->Word >> 32;
        Assert.True(Free(second));
        Assert.Equal(0u, FlowTable.Find(First, "b"u8));
        Assert.True(FlowTable.NameOf(First, second).IsEmpty);
        Assert.Equal(second, Use("c"));
        Assert.Equal((0, 0ul, 0, 0), (entry->HasFlushed, entry->LockEpoch, entry->Degraded, entry->Uncached));
        Assert.NotEqual(generation, entry->Word >> 32);
    }

    [Fact]
    public void WhatIsOpenOrLockedOrLostOrOwesAnErrorOrHasAPolicyIsNotFreed()
    {
        uint flow = Use("a", _gateway.Number);
        var entry = First.FlowAt(flow);
        Assert.False(Free(flow));
        FlowUse.Leave(First, flow, _gateway.Number);
        entry->OpenBy = 3;
        Assert.False(Free(flow));
        entry->OpenBy = FlowEntry.Lost;
        Assert.False(Free(flow));
        (entry->OpenBy, entry->LockId) = (0, 5);
        Assert.False(Free(flow));
        (entry->LockId, entry->FlushOwed) = (0, FlowEntry.OwedTold);
        Assert.False(Free(flow));
        entry->FlushOwed = 0;
        FlowTable.SetPolicy(First, "a"u8, FlowSpace.Data, CachePolicy.WriteThrough, safe: true);
        Assert.False(Free(flow));
        // Of what is deleted the policy does not matter.
        Assert.True(Free(flow, isGone: true));
    }

    [Fact]
    public void WhoDoesNotSayWhetherHeUsesAFlowKeepsIt()
    {
        uint bench = FlowTable.FindOrAdd(First, "bench"u8), images = FlowTable.FindOrAdd(First, FlowTable.SharedName, FlowSpace.Shared);
        Assert.Empty(FlowRetirement.Unused(First));
        Assert.False(Free(bench));
        Assert.False(Free(images, isGone: true));
        First.FlowAt(images)->UsedAt = 1;
        Assert.False(Free(images, isGone: true));
    }

    [Fact]
    public void WhoAsksForItMeanwhileHasItBack()
    {
        uint flow = Use("a");
        Assert.Single(FlowRetirement.Begin(First, [flow]));
        Assert.Equal("a", System.Text.Encoding.ASCII.GetString(FlowTable.NameOf(First, flow)));
        Assert.Equal(flow, Use("a"));
        Assert.False(FlowRetirement.TryEnd(First, flow));
        // A predecessor's that is retiring is gone on with; and so is one that was to be freed and got a policy.
        Assert.Single(FlowRetirement.Begin(First, [flow]));
        Assert.Equal([flow], FlowRetirement.Unused(First));
        FlowTable.SetPolicy(First, "a"u8, FlowSpace.Data, CachePolicy.Off, safe: true);
        Assert.False(FlowRetirement.TryEnd(First, flow));
        Assert.Equal(2u, (uint)First.FlowAt(flow)->Word);
    }

    [Fact]
    public void TheDeadAndWhoWasBoundAnewSinceHaveNothingOpen()
    {
        var second = TestSegment.Bind(_segment.Join(), "second", 4);
        uint flow = Use("a", second.Number);
        FlowUse.Join(First, flow, _gateway.Number);
        Assert.True(FlowUse.IsUsed(First, flow));
        second.Dispose();
        using var again = TestSegment.Bind(_segment.Join(), "second", 4);
        Assert.Equal(second.Number, again.Number);
        FlowUse.Leave(First, flow, _gateway.Number);
        Assert.False(FlowUse.IsUsed(First, flow));
        // Another's OPEN does not bring back who had it before.
        flow = Use("a", again.Number);
        Assert.Equal(1ul << again.Number, First.FlowAt(flow)->Users);
        FlowUse.Leave(First, flow, again.Number);
        Assert.True(Free(flow));
    }

    [Fact]
    public void ADamagedWordMakesAnOpenFlowNeitherFreeNorAnothers()
    {
        uint flow = Use("a", _gateway.Number);
        foreach (uint state in new uint[] { 0, 1, 77, uint.MaxValue })
        {
            First.FlowAt(flow)->Word = (5ul << 32) | state;
            Assert.NotEqual(flow, Use("b" + state));
            Assert.False(Free(flow));
        }
    }

    [Fact]
    public void ADamagedEntryIsNobodyElsesMatter()
    {
        uint flow = Use("a"), other = Use("b", _gateway.Number);
        var random = new Random(1);
        for (int i = 0; i < 2000; i++)
        {
            random.NextBytes(new Span<byte>(First.FlowAt(flow), FlowEntry.Size));
            First.FlowAt(flow)->Word = (uint)random.Next(4) | (1ul << 32);
            foreach (uint one in FlowRetirement.Unused(First)) Assert.NotEqual(other, one);
            Free(flow);
            FlowUse.Join(First, flow, random.Next(80));
            FlowUse.Leave(First, flow, random.Next(80));
            FlowReferences.Find(First);
            Assert.Equal(other, FlowTable.Find(First, "b"u8));
        }
    }

    [Fact]
    public void KilledBeforeAnyStoreAFlowIsAsItWasOrFreeAndItsNumberIsGivenOn() => Killing.BeforeEachStore(
        () => new FlowRetirementTests(),
        of =>
        {
            uint flow = of.Use("old", of._gateway.Number);
            FlowUse.Leave(of.First, flow, of._gateway.Number);
            of.Free(flow);
            of.Use("new", of._gateway.Number);
            FlowUse.Join(of.First, of.Use("new"), of._gateway.Number);
        },
        (of, _) =>
        {
            uint old = FlowTable.Find(of.First, "old"u8), fresh = FlowTable.Find(of.First, "new"u8);
            if (fresh != 0) Assert.Equal((0u, true), (old, FlowUse.IsUsed(of.First, fresh)));
            // Whoever comes next: what was cut off is finished or has no effect, and all of the table can be had.
            of._gateway.Dispose();
            foreach (uint flow in FlowRetirement.Unused(of.First)) Assert.True(of.Free(flow));
            Assert.Equal(of.First.FlowCount - 1, FlowTable.CountFree(of.First));
            for (int i = 1; i < of.First.FlowCount; i++) Assert.NotEqual(0u, of.Use($"next{i}"));
            Assert.Throws<XsegException>(() => of.Use("one more"));
        });
}
