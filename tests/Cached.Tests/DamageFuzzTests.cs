using Archipelago.Runtime.Hosting;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Xunit.Abstractions;

namespace Archipelago.Cached.Tests;

/// <summary>
/// Random bytes over what one flow has in shared memory: entries of the page, object and flow table, slots of the client and of the cache.
/// Nothing ends, and all that another flow reads is what it wrote, also after a restart of the cache.
/// </summary>
public sealed class DamageFuzzTests(ITestOutputHelper output)
{
    private const uint Victim = 1, Sound = 2;

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, false)]
    [InlineData(4, false)]
    [InlineData(5, true)]
    [InlineData(6, true)]
    [InlineData(7, true)]
    [InlineData(8, true)]
    public void DamageOfOneFlowHarmsNoOther(ulong seed, bool kills)
    {
        using var rig = new Rig(seed, new CachedOptions { Pages = 128, DirtyAge = TimeSpan.FromMilliseconds(50), DestageRatio = 0.1 }, clientPages: 600);
        rig.SetPolicy(Victim, CachePolicy.WriteBack);
        rig.SetPolicy(Sound, CachePolicy.WriteBack);
        var random = new SeededRandom(seed * 31);
        var expected = Enumerable.Range(0, 4).Select(_ => new byte[32 * 4096]).ToArray();
        ulong stamp = 0;
        int failed = 0;
        for (int round = 0; round < 1000; round++)
        {
            for (int i = 0; i < 3 && rig.Client.Pending < 60; i++) Detach(() => VictimAsync(rig, random));
            // Each may cost the cache a page for good, and it needs some.
            if (random.Next(10) == 0) Strike(rig, random);
            int of = (int)random.Next(expected.Length), first = (int)random.Next(200), count = 1 + (int)random.Next(40);
            if (random.Next(2) == 0)
            {
                byte[] data = Rig.Fill(count * 512, ++stamp);
                data.CopyTo(expected[of].AsSpan(first * 512));
                Assert.Equal(0, rig.Write(Sound, $"sound{of}", (ulong)first * 512, data).Status);
            }
            else
            {
                var reply = rig.Read(Sound, $"sound{of}", (ulong)first * 512, (ulong)count * 512);
                Assert.Equal(0, reply.Status);
                Assert.Equal(expected[of].AsSpan(first * 512, count * 512).ToArray(), reply.Data);
            }

            if (random.Next(30) == 0) Assert.Equal(0, rig.Do(XsegOp.Flush, Sound, "").Status);
            if (kills && random.Next(150) == 0) rig.RestartCache();
        }

        Assert.Equal(0, rig.Do(XsegOp.Flush, Sound, "").Status);
        for (int of = 0; of < expected.Length; of++)
            Assert.Equal(expected[of], rig.ReadBelow(Sound, $"sound{of}", 0, (ulong)expected[of].Length).Data);
        output.WriteLine($"{rig.Store.DamagedPages} pages and {rig.Store.DamagedObjects} objects found damaged, {rig.Store.LostPages} lost, {failed} requests failed, {rig.Client.Pending} never answered");
        Assert.True(rig.Store.DamagedPages > 0 || kills, "nothing was hit");

        void Detach(Func<Task> operation)
        {
            _ = rig.Start(async () =>
            {
                try
                {
                    await operation();
                }
                catch (Exception)
                {
                    // Its own slots were hit.
                    failed++;
                }

                return 0;
            });
        }
    }

    private static async Task VictimAsync(Rig rig, SeededRandom random)
    {
        string name = $"victim{random.Next(6)}";
        ulong offset = (ulong)random.Next(300) * 512, length = (ulong)(1 + random.Next(60)) * 512;
        _ = random.Next(12) switch
        {
            < 5 => await rig.Client.WriteAsync(Victim, name, offset, new byte[length]),
            < 9 => await rig.Client.ReadAsync(Victim, name, offset, length, own: random.Next(2) == 0),
            9 => await rig.Client.IssueAsync(XsegOp.Discard, Victim, name, offset, length),
            10 => await rig.Client.IssueAsync(random.Next(2) == 0 ? XsegOp.Hash : XsegOp.Delete, Victim, name),
            _ => await rig.Client.IssueAsync(XsegOp.Flush, Victim, ""),
        };
    }

    private static unsafe void Strike(Rig rig, SeededRandom random)
    {
        var segment = rig.ClientProcess.Segment;
        switch (random.Next(8))
        {
            case < 4:
                uint page = 1 + (uint)random.Next((int)segment.PageCount - 1);
                for (int i = 0; i < 50 && !IsVictims(page); i++) page = 1 + (uint)random.Next((int)segment.PageCount - 1);
                if (!IsVictims(page)) return;
                var entry = segment.PageAt(page);
                Write(random, (byte*)entry + random.Next(4) * 8);
                if (entry->Flow == Sound) entry->Flow = 0;
                break;
            case 4:
                uint index = 1 + (uint)random.Next(segment.ObjectCount - 1);
                for (int i = 0; i < 50 && (segment.ObjectAt(index)->Word == 0 || segment.ObjectAt(index)->Flow != Victim); i++) index = 1 + (uint)random.Next(segment.ObjectCount - 1);
                if (segment.ObjectAt(index)->Word == 0 || segment.ObjectAt(index)->Flow != Victim) return;
                Write(random, (byte*)segment.ObjectAt(index) + random.Next(ObjectEntry.Size / 8) * 8);
                if (segment.ObjectAt(index)->Flow == Sound) segment.ObjectAt(index)->Flow = 0;
                break;
            case 5:
                Write(random, (byte*)segment.FlowAt(Victim) + 24 + random.Next(6) * 8);
                break;
            default:
                bool ofCache = random.Next(3) == 0;
                int port = ofCache ? rig.Cached.Context.Port.Number : rig.Client.Context.Port.Number;
                uint number = ((uint)port << segment.SlotShift) + (uint)random.Next(64);
                var slot = segment.SlotAt(number);
                if (slot->Flow != Victim || (byte)slot->Word == 0) return;
                // The cache waits for its own requests; a damaged word would be an answer that never comes.
                int from = ofCache ? 1 : 0;
                Write(random, (byte*)slot + (from + random.Next(50 - from)) * 8);
                if (slot->Flow == Sound) slot->Flow = 0;
                break;
        }

        bool IsVictims(uint number)
        {
            var entry = segment.PageAt(number);
            return entry->Flow == Victim && new PageWord(entry->Word).State == PageState.Cache;
        }
    }

    private static unsafe void Write(SeededRandom random, byte* at)
    {
        switch (random.Next(4))
        {
            case 0:
                at[random.Next(8)] = (byte)random.Next(256);
                break;
            case 1:
                *(uint*)(at + random.Next(2) * 4) = (uint)random.Next(70);
                break;
            case 2:
                *(ulong*)at = random.Next(2) == 0 ? 0 : ulong.MaxValue;
                break;
            default:
                *(ulong*)at ^= 1ul << (int)random.Next(64);
                break;
        }
    }
}
