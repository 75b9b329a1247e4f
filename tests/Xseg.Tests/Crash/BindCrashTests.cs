using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>A peer is killed while it binds, or leaves.</summary>
public class BindCrashTests
{
    private sealed class Place : IDisposable
    {
        internal TestSegment Segment { get; } = new(pages: 128);

        internal Segment Dying { get; set; } = null!;

        internal Port Port { get; set; } = null!;

        public void Dispose() => Segment.Dispose();

        /// <summary>Everything is accounted for once <paramref name="name"/> is bound again, and a request passes through it.</summary>
        internal void AssertBindsAgain(string name, int pages, int others)
        {
            Dying.Dispose();
            using var client = TestSegment.Bind(Segment.Join(), "asker", 4);
            using var port = TestSegment.Bind(Segment.Join(), name, pages);
            client.Ping(port.Number);
            port.Clients();
            Assert.True(port.TryAccept(client.Number, out var request));
            port.Reply(request, 0);
            port.EndBatch(client.Number);
            Assert.True(client.TryReceive(port.Number, out request));
            client.Free(request);
            var report = Fsck.Check(Segment.First);
            Assert.Empty(report.Findings.Where(finding => finding.Kind is not (FsckKind.Counters or FsckKind.DeadPort)).Select(finding => finding.Text));
            Assert.Equal(pages, report.Pages.HeldBy(port.Number));
            Assert.Equal(127 - pages - 4 - others, report.Pages[PageState.Common]);
        }
    }

    [Fact]
    public void KilledInItsFirstBind() => Killing.BeforeEachStore(
        () =>
        {
            var place = new Place();
            place.Dying = place.Segment.Join();
            return place;
        },
        place => TestSegment.Bind(place.Dying, "peer", 20),
        (place, died) => place.AssertBindsAgain("peer", 20, others: 0));

    [Fact]
    public void KilledInItsFirstBindAndNeverSeenAgainItCostsNothing() => Killing.BeforeEachStore(
        () =>
        {
            var place = new Place();
            place.Dying = place.Segment.Join();
            return place;
        },
        place => TestSegment.Bind(place.Dying, "peer", 20),
        (place, died) =>
        {
            place.Dying.Dispose();
            var report = Fsck.Repair(place.Segment.First);
            Assert.Empty(report.Findings);
            Assert.Equal(127, report.Pages[PageState.Common]);
        });

    /// <summary>All other ports are taken, so that the new peer gets the one of a client that died and has a similar, longer name.</summary>
    [Fact]
    public void KilledWhileItTakesTheOverPortOfADeadTransientNoHalfNameIsFound() => Killing.BeforeEachStore(
        () =>
        {
            var place = new Place();
            for (int i = 0; i < 5; i++) TestSegment.Bind(place.Segment.Join(), "other" + i, 1);
            var dead = place.Segment.Join();
            TestSegment.Bind(dead, "nbd.10", 6, transient: true).New(XsegOp.Write, 0, 8192);
            dead.Dispose();
            place.Dying = place.Segment.Join();
            return place;
        },
        place => TestSegment.Bind(place.Dying, "cac.0", 20),
        (place, died) =>
        {
            place.Dying.Dispose();
            Assert.Equal(-1, PortTable.Find(place.Segment.First, "nbd.1"u8));
            Assert.Equal(-1, PortTable.Find(place.Segment.First, "cac.10"u8));
            using var port = TestSegment.Bind(place.Segment.Join(), "cac.0", 20);
            var report = Fsck.Check(place.Segment.First);
            Assert.Empty(report.Findings.Select(finding => finding.Text));
            Assert.Equal(127 - 5 - 20, report.Pages[PageState.Common]);
            Assert.Equal(20, report.Pages.HeldBy(port.Number));
        });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void KilledWhileItLeaves(bool transient) => Killing.BeforeEachStore(
        () =>
        {
            var place = new Place();
            place.Dying = place.Segment.Join();
            place.Port = TestSegment.Bind(place.Dying, "peer", 20, transient: transient);
            return place;
        },
        place => place.Port.Dispose(),
        (place, died) => place.AssertBindsAgain("peer", 20, others: 0));

    [Fact]
    public void KilledWhileItCreatesTheSegmentTheNextCreatorStartsAgain()
    {
        var options = new SegmentOptions { Ports = 2, SlotsPerPort = 16, Pages = 64, Flows = 2, Objects = 64, Routes = 1, Sessions = 1 };
        for (int store = 0; ; store++)
        {
            string path = TestSegment.NewDirectory();
            try
            {
                bool died = Killing.Run(store, () => Segment.Create(path, options).Dispose());
                if (!died)
                {
                    Assert.Equal(XsegErrno.EEXIST, Assert.Throws<XsegException>(() => Segment.Create(path, options)).Errno);
                    Assert.True(store >= 3);
                    return;
                }

                Assert.Equal(XsegErrno.EAGAIN, Assert.Throws<XsegException>(() => Segment.Join(path)).Errno);
                Segment.Create(path, options).Dispose();
                using var joined = Segment.Join(path);
                Assert.True(Fsck.Check(joined).IsClean);
            }
            finally
            {
                Directory.Delete(path, recursive: true);
            }
        }
    }
}
