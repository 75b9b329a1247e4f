using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;

namespace Archipelago.Cached.Tests;

/// <summary>What slots and the control plane may say without harm.</summary>
public sealed class BadInputTests
{
    [Theory]
    [InlineData(XsegOp.Delete)]
    [InlineData(XsegOp.Truncate)]
    [InlineData(XsegOp.WriteZeroes)]
    [InlineData(XsegOp.Copy)]
    public void RequestWithTheHashOfAnotherFlowsObjectTouchesNothingOfIt(XsegOp op)
    {
        using var rig = new Rig(1, new CachedOptions { Pages = 256, DirtyAge = TimeSpan.FromHours(1) });
        rig.SetPolicy(1, CachePolicy.WriteBack);
        rig.SetPolicy(2, CachePolicy.WriteBack);
        byte[] data = Rig.Fill(8192, 1);
        rig.Write(2, "victim", 0, data);
        rig.Below(XsegOp.Truncate, 1, "source", length: 4096);
        int status = rig.Run(async () =>
        {
            var request = await rig.Client.Context.AllocateAsync();
            var lie = Hash128.Of("victim"u8);
            rig.Client.Context.Port.Prepare(request, op, 1, "mine"u8, lie, 0, op == XsegOp.Truncate ? 0ul : 8192);
            if (op == XsegOp.Copy) rig.Client.Context.Port.SetSource(request, "source"u8);
            int answer = await rig.Client.Cache.SubmitAsync(request);
            rig.Client.Context.Free(request);
            return answer;
        });
        Assert.Equal(XsegErrno.EBADMSG, status);
        Assert.Equal(data, rig.Read(2, "victim", 0, 8192).Data);
        Conservation.Check(rig);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("nobody")]
    public void PolicyOfNoVolumeIsRefusedAndTheCacheGoesOn(string? volume)
    {
        using var rig = new Rig();
        var change = rig.Cached.Context.Reactor.CallAsync(() => rig.Cached.ChangePolicy(new CachePolicyChange(volume!, "off")));
        rig.World.RunUntil(() => change.IsCompleted, "answer");
        Assert.IsType<ErrnoException>(change.Exception!.InnerException);
        Assert.Equal(0, rig.Do(XsegOp.Ping, 0, "").Status);
    }
}
