using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

public class CopyUpTests
{
    private const int O = Rig.ObjectSize;

    /// <summary>
    /// The first write to an object that only the head refers to, but in an older layer, ends with that object's deletion: a read that is under way must be
    /// answered with what was there, and neither with zeros nor with an error.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_read_beside_a_copy_up_shows_the_content(bool isCertain)
    {
        using var rig = new Rig();
        uint flow = rig.CreateAndOpen("disk", 4 * O);
        var data = VolumeTests.Bytes(1, 2 * O);
        Assert.Equal(0, rig.Write("disk", flow, 0, data).Status);
        Snapshot("s1");
        // In the second layer the map says for sure that the object exists.
        if (isCertain) Assert.Equal(0, rig.Write("disk", flow, 0, data[..512]).Status);
        Snapshot("s2");
        foreach (string name in (string[])["disk@s1", "disk@s2"]) Assert.Equal(0, rig.Do(XsegOp.Delete, name).Status);
        rig.UntilIdle();

        rig.OnStore(() => rig.Cut.Stop = request => request.Op == XsegOp.Read && request.Target.StartsWith("o."u8));
        var read = rig.ClientNode.Begin(() => rig.Client.Read("volumes", "disk", flow, 0, 4096));
        rig.Store.Until(() => rig.Cut.Stopped == 1, "the read does not arrive");
        var write = rig.ClientNode.Begin(() => rig.Client.Write("volumes", "disk", flow, 8192, data[..512]));
        // Long enough for a copy-up that does not wait; one that does, waits for ever.
        rig.VlmcdNode.Until(() => rig.Vlmcd.Volumes.Table.ByFlow(flow)!.InFlight == 2 || write.IsCompleted, "the write does not arrive");
        for (int i = 0; i < 20; i++) Assert.Equal(0, rig.Do(XsegOp.Info, "disk").Status);
        var behind = rig.ClientNode.Begin(() => rig.Client.Read("volumes", "disk", flow, 4096, 4096));
        rig.OnStore(() =>
        {
            rig.Cut.Go();
            return true;
        });
        var answers = await Task.WhenAll(read, write, behind).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal([0, 0, 0], answers.Select(answer => answer.Status));
        Assert.Equal(data[..4096], answers[0].Data);
        Assert.Equal(data[4096..8192], answers[2].Data);

        void Snapshot(string name) => Assert.Equal(0, rig.Do(XsegOp.Snapshot, "disk", source: name).Status);
    }
}
