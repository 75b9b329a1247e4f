using Archipelago.Mapperd;

namespace Archipelago.Vlmcd.Tests;

public class LeaseTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_restarted_mapperd_renews_the_leases_of_volumes_that_were_opened_before_and_need_nothing_of_it(bool killed)
    {
        using var rig = new Rig(mapperd: new MapperdOptions { Lease = TimeSpan.FromSeconds(1) });
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        byte[] data = VolumeTests.Bytes(1, 4096);
        Assert.Equal(0, rig.Write("disk", flow, 0, data).Status);
        if (killed) rig.KillMapperd();
        else rig.RestartMapperd();
        // What a start looks for takes and gives back locks, too.
        rig.UntilIdle();
        rig.OnStore(() => rig.Cut.Trace = []);
        rig.Store.Until(() => rig.Cut.Trace!.Count(change => change.StartsWith("Acquire l.", StringComparison.Ordinal)) >= 2, "the lease is not renewed");
        Assert.DoesNotContain(rig.OnStore(() => rig.Cut.Trace!.ToArray()), change => change.StartsWith("Release", StringComparison.Ordinal));
        Assert.Equal(0, rig.Write("disk", flow, 4096, data).Status);
    }
}
