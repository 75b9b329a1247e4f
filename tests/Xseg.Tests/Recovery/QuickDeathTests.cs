using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Xunit;

namespace Archipelago.Xseg.Tests.Recovery;

/// <summary>Two peers that die quickly one after the other stop the restarts, and the segment stays as it is.</summary>
public sealed unsafe class QuickDeathTests : IDisposable
{
    private static readonly TimeSpan Window = TimeSpan.FromHours(1);
    private readonly TestSegment _segment = new();

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void SecondQuickDeathInARowRefusesEveryTakeoverAndTouchesNothing()
    {
        Die("cached");
        Die("cached");
        byte[] before = [];
        for (int i = 0; i < 3; i++)
        {
            var refused = Assert.Throws<XsegException>(() => Bind("cached"));
            Assert.Equal(XsegErrno.EAGAIN, refused.Errno);
            Assert.Contains("cached", refused.Message);
            Assert.Contains("--clear-deaths", refused.Message);
            // The first one has counted.
            if (i > 0) Assert.Equal(before, Bytes());
            before = Bytes();
        }

        // Who did not die may still come, and clients.
        Bind("other").Dispose();
        TestSegment.Bind(_segment.Join(), "client", transient: true).Dispose();
        Assert.Contains(Fsck.Check(_segment.First).Findings, finding => finding.Kind == FsckKind.QuickDeaths);
        Assert.Throws<XsegException>(() => Bind("cached"));
        Fsck.ClearQuickDeaths(_segment.First);
        Bind("cached").Dispose();
    }

    [Fact]
    public void DeathsOfDifferentPeersCount()
    {
        Die("cached");
        Die("filed", process: 7);
        Bind("cached");
        Assert.Throws<XsegException>(() => Bind("filed"));
    }

    [Fact]
    public void PortsOfOneProcessDieOneDeath()
    {
        var memory = _segment.Join();
        foreach (string name in (string[])["filed", "cached", "vlmcd"]) Bind(name, memory);
        memory.Dispose();
        memory = _segment.Join();
        foreach (string name in (string[])["filed", "cached", "vlmcd"]) Bind(name, memory);
        Assert.Equal(1u, _segment.First.Header->QuickDeaths);
    }

    [Fact]
    public void ALongLifeOrAnOrderlyEndEndsTheRow()
    {
        Die("cached");
        var port = Bind("cached");
        Assert.Equal(1u, _segment.First.Header->QuickDeaths);
        port.Dispose();
        Assert.Equal(0u, _segment.First.Header->QuickDeaths);
        Die("cached");
        Die("cached", lives: 2);
        Die("cached");
        Bind("cached");
        Assert.Equal(1u, _segment.First.Header->QuickDeaths);
    }

    /// <summary>The successor of the one that died first has lived long when another peer dies quickly.</summary>
    [Fact]
    public void QuickDeathsFarApartAreNotInARow()
    {
        Die("cached");
        var survivor = Bind("cached");
        Age(survivor.Number);
        Die("vlmcd", process: 7);
        Bind("vlmcd");
        Assert.Equal(1u, _segment.First.Header->QuickDeaths);
    }

    [Fact]
    public void WithoutAWindowNothingIsCounted()
    {
        for (int i = 0; i < 4; i++)
        {
            var memory = _segment.Join();
            TestSegment.Bind(memory, "cached");
            memory.Dispose();
        }

        Assert.Equal(0u, _segment.First.Header->QuickDeaths);
    }

    private void Die(string name, double lives = 0, int process = 0)
    {
        var memory = _segment.Join();
        int number = Bind(name, memory).Number;
        memory.Dispose();
        var entry = _segment.First.PortAt(number);
        if (lives > 0) Age(number);
        if (process != 0) entry->ProcessId = process;
    }

    private void Age(int port) => _segment.First.PortAt(port)->Heartbeat += (ulong)(2 * Window.TotalSeconds * 1e9);

    private Port Bind(string name, Segment? memory = null) => Port.Bind(memory ?? _segment.Join(), new PortOptions { Name = name, Pages = 8, QuickDeathWindow = Window });

    private byte[] Bytes() => File.ReadAllBytes(Path.Combine(_segment.Path, "segment"));
}
