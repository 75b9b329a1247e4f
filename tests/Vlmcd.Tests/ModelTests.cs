using Archipelago.Xseg;

namespace Archipelago.Vlmcd.Tests;

public class ModelTests
{
    /// <summary>Random requests against an array in memory, with resizes and successors of vlmcd in between.</summary>
    [Theory]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, true)]
    [InlineData(4, false)]
    [InlineData(5, false)]
    [InlineData(6, false)]
    public void A_volume_is_an_array_of_bytes(int seed, bool oneReactor)
    {
        const int Largest = 1 << 20;
        using var rig = new Rig(oneReactor, fanOut: 1 + seed);
        var random = new Random(seed);
        var model = new byte[Largest];
        int size = 512 * random.Next(1, Largest / 512 + 1);
        uint flow = rig.CreateAndOpen("disk", (ulong)size);
        for (int step = 0; step < 1500; step++)
        {
            int offset = 512 * random.Next(size / 512), length = Math.Min(512 * random.Next(1, random.Next(10) == 0 ? 1024 : 80), size - offset);
            var flags = random.Next(4) == 0 ? RequestFlags.ForceUnitAccess : RequestFlags.None;
            switch (random.Next(12))
            {
                case < 4:
                    var data = new byte[length];
                    random.NextBytes(data);
                    Assert.Equal((0, (ulong)length), VolumeTests.Outcome(rig.Write("disk", flow, (ulong)offset, data, flags)));
                    data.CopyTo(model, offset);
                    break;
                case < 8:
                    var read = rig.Read("disk", flow, (ulong)offset, (ulong)length, random.Next(2) == 0);
                    Assert.Equal((0, (ulong)length), VolumeTests.Outcome(read));
                    Assert.True(model.AsSpan(offset, length).SequenceEqual(read.Data), $"seed {seed} step {step}: [{offset}+{length}] differs");
                    break;
                case 8 or 9:
                    var op = random.Next(2) == 0 ? XsegOp.Discard : XsegOp.WriteZeroes;
                    Assert.Equal((0, (ulong)length), VolumeTests.Outcome(rig.Do(op, "disk", flow, (ulong)offset, (ulong)length, flags)));
                    Array.Clear(model, offset, length);
                    break;
                case 10:
                    if (random.Next(4) != 0) goto default;
                    int wanted = 512 * random.Next(1, Largest / 512 + 1);
                    Assert.Equal((0, (ulong)wanted), VolumeTests.Outcome(rig.Do(XsegOp.Truncate, "disk", length: (ulong)wanted)));
                    if (wanted < size) Array.Clear(model, wanted, size - wanted);
                    size = wanted;
                    break;
                default:
                    if (!oneReactor && random.Next(20) == 0) rig.KillVlmcd();
                    else Assert.Equal(0, rig.Do(XsegOp.Flush, "disk", flow).Status);
                    break;
            }
        }

        Assert.True(model.AsSpan(0, size).SequenceEqual(rig.Read("disk", flow, 0, (ulong)size).Data));
    }
}
