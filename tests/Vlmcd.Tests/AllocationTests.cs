using System.Text;
using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

public class AllocationTests
{
    // No whole object is discarded: memd would forget it, and make it anew.
    private static readonly XsegOp[] Ops = [XsegOp.Write, XsegOp.Read, XsegOp.WriteZeroes, XsegOp.Flush];

    /// <summary>Client, vlmcd and memd on one reactor: a write and a read of one object, and of three, cost no allocation.</summary>
    [Theory]
    [InlineData(0, 4096)]
    [InlineData(1536, 512)]
    [InlineData(Rig.ObjectSize - 4096, Rig.ObjectSize + 8192)]
    public void Requests_allocate_nothing_in_the_steady_state(ulong offset, ulong length)
    {
        using var rig = new Rig(oneReactor: true);
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        var name = Encoding.ASCII.GetBytes("disk");
        var hash = Hash128.Of(name);
        var allocated = rig.ClientNode.Run(() =>
        {
            var context = rig.Client.Context;
            var route = context.OpenRoute("volumes");
            var bytes = new long[Ops.Length];
            for (int round = 0; round < 2; round++)
                for (int i = 0; i < Ops.Length; i++)
                {
                    long before = GC.GetAllocatedBytesForCurrentThread();
                    Repeat(Ops[i], 2000);
                    bytes[i] = GC.GetAllocatedBytesForCurrentThread() - before;
                }

            return Task.FromResult(bytes);

            void Repeat(XsegOp op, int times)
            {
                for (int i = 0; i < times; i++)
                {
                    Assert.True(context.Port.TryAllocate(out var request));
                    context.Port.Prepare(request, op, flow, name, hash, offset, length);
                    if (op is XsegOp.Write or XsegOp.Read) Assert.True(context.Port.TryAttachPages(request, payload: true));
                    var answer = route.SubmitAsync(request);
                    Assert.True(answer.IsCompleted);
                    if (answer.Result != 0 || (op != XsegOp.Flush && request.Serviced != length)) throw new InvalidOperationException($"{request}: {answer.Result}");
                    context.Free(request);
                }
            }
        });
        Assert.True(allocated.All(bytes => bytes == 0), string.Join(", ", Ops.Zip(allocated)));
    }

    /// <summary>vlmcd between two other processes: every request waits for others, on pooled state.</summary>
    [Theory]
    [InlineData(0, 4096)]
    [InlineData(Rig.ObjectSize - 4096, Rig.ObjectSize + 8192)]
    public void Requests_that_wait_allocate_nothing_in_the_steady_state(ulong offset, ulong length)
    {
        const int Requests = 3000;
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        rig.Store.Run(async () =>
        {
            await rig.Memd.ChangeAsync(rig.Memd.Options with { Jitter = TimeSpan.FromMicroseconds(100) });
            return true;
        });
        var data = new byte[length];
        long allocated = 0;
        for (int round = 0; round < 2; round++)
        {
            long before = OnVlmcd();
            rig.ClientNode.Run(async () =>
            {
                await Task.WhenAll(Enumerable.Range(0, 16).Select(async _ =>
                {
                    for (int i = 0; i < Requests / 32; i++)
                    {
                        Assert.Equal(0, (await rig.Client.Write("volumes", "disk", flow, offset, data)).Status);
                        Assert.Equal(0, (await rig.Client.Read("volumes", "disk", flow, offset, length, ownPages: true)).Status);
                    }
                }));
                return true;
            });
            allocated = OnVlmcd() - before;
        }

        // What asking costs, and nothing per request.
        Assert.True(allocated < Requests, $"{allocated} bytes for {Requests} requests");

        long OnVlmcd() => rig.VlmcdNode.Run(() => Task.FromResult(GC.GetAllocatedBytesForCurrentThread()));
    }
}
