using Archipelago.Vlmcd.Maps;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Tests;

public class MapTests
{
    /// <summary>
    /// A map that knows nothing until it is prepared, as one loaded by chunk, and keeps a list of what exists, as one with ancestors:
    /// what was never written is a hole.
    /// </summary>
    private sealed class LearningMap(ulong id, Func<Runtime.Scheduling.IReactor> reactor) : IObjectMap
    {
        private readonly DirectMap _names = new(id);
        private readonly HashSet<ulong> _known = [];
        private readonly HashSet<ulong> _exist = [];

        internal int Failure { get; set; }

        public bool TryFind(ulong index, ObjectAccess access, out ObjectTarget target)
        {
            bool found = _known.Contains(index) && (access != ObjectAccess.Write || _exist.Contains(index));
            _names.TryFind(index, access, out target);
            target.IsHole = !_exist.Contains(index);
            target.MayDelete = false;
            return found;
        }

        public async ValueTask<int> PrepareAsync(ulong index, ObjectAccess access, Request parent)
        {
            await reactor().Delay(TimeSpan.FromMilliseconds(1));
            if (Failure != 0) return Failure;
            _known.Add(index);
            if (access == ObjectAccess.Write) _exist.Add(index);
            return 0;
        }

        public void Change(ulong objects, ulong layer, bool isKnown)
        {
        }
    }

    [Fact]
    public void A_map_may_take_its_time_and_its_holes_read_as_zeros()
    {
        LearningMap? map = null;
        Rig? rig = null;
        using var made = rig = new Rig(make: () => new VlmcdPeer(
            new VlmcdOptions { FanOut = 4 }, (_, answer) => map = new LearningMap(answer.Layer, () => rig!.VlmcdNode.Reactor)));
        uint flow = rig.CreateAndOpen("disk", 1 << 20);
        foreach (bool own in new[] { false, true })
        {
            var zeros = rig.Read("disk", flow, 512, 5 * Rig.ObjectSize, own);
            Assert.Equal((0, 5ul * Rig.ObjectSize), VolumeTests.Outcome(zeros));
            Assert.DoesNotContain(zeros.Data, value => value != 0);
        }

        var data = VolumeTests.Bytes(1, 2 * Rig.ObjectSize);
        Assert.Equal(0, rig.Write("disk", flow, Rig.ObjectSize + 512, data).Status);
        foreach (bool own in new[] { false, true })
        {
            var read = rig.Read("disk", flow, 0, 8 * Rig.ObjectSize, own).Data;
            Assert.Equal(data, read.AsSpan(Rig.ObjectSize + 512, data.Length).ToArray());
            Assert.DoesNotContain(read[..(Rig.ObjectSize + 512)], value => value != 0);
        }

        Assert.Equal(0, rig.Do(XsegOp.Discard, "disk", flow, 0, 1 << 20).Status);
        Assert.DoesNotContain(rig.Read("disk", flow, 0, 1 << 20).Data, value => value != 0);
        map!.Failure = Runtime.Errno.ESTALE;
        Assert.Equal(Runtime.Errno.ESTALE, rig.Write("disk", flow, 30 * Rig.ObjectSize, data).Status);
    }
}
