using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tables;
using Xunit;

namespace Archipelago.Xseg.Tests.Native;

/// <summary>A peer written in C, in a process of its own.</summary>
[Collection(StartsProcesses.Name)]
public sealed class CPeerTests : IDisposable
{
    private readonly TestSegment _segment = new(pages: 1024);

    public void Dispose() => _segment.Dispose();

    [Fact]
    public void ItPingsWritesAndReadsBackEveryByteAndLeavesNothingBehind()
    {
        FlowTable.FindOrAdd(_segment.First, "volume"u8);
        using var server = new ObjectServer(_segment.Join(), "objects");
        var (code, output) = CProgram.Run(CProgram.Compile("cpeer"), _segment.Path, "objects", "an-object", "volume", "400");
        Assert.True(code == 0, output + server.Failure);
        Assert.Equal("ping\nwritten\nverified\n", output);
        var report = Fsck.Check(_segment.First);
        Assert.Empty(report.Findings.Select(finding => finding.Text));
        Assert.Equal(0, report.SlotsInUse);
        Assert.Equal(1023 - 200, report.Pages[PageState.Common]);
    }

    [Fact]
    public void ItReadsPagesOfTheSharedFlow()
    {
        FlowTable.FindOrAdd(_segment.First, "volume"u8);
        uint images = FlowTable.FindOrAdd(_segment.First, "images"u8, FlowSpace.Shared);
        using var server = new ObjectServer(_segment.Join(), "objects") { LendsAs = images };
        var (code, output) = CProgram.Run(CProgram.Compile("cpeer"), _segment.Path, "objects", "an-object", "volume", "100");
        Assert.True(code == 0, output + server.Failure);
        Assert.Equal("ping\nwritten\nverified\n", output);
    }

    [Fact]
    public void ItIsRefusedWhereItShouldBe()
    {
        string peer = CProgram.Compile("cpeer");
        using var server = new ObjectServer(_segment.Join(), "objects");
        Assert.Contains("no route", CProgram.Run(peer, _segment.Path, "elsewhere", "o").Output);
        Assert.Contains("no flow", CProgram.Run(peer, _segment.Path, "objects", "o", "no-such").Output);
        Assert.Contains("No such file", CProgram.Run(peer, _segment.Path + "/nothing", "objects", "o").Output);
    }

    /// <summary>Kill -9 of a real process, at some moment: its port is found dead, and all that it held is taken back.</summary>
    [Fact]
    public void KilledAtAnyMomentItIsTakenOver()
    {
        string peer = CProgram.Compile("cpeer");
        using var server = new ObjectServer(_segment.Join(), "objects");
        for (int round = 0; round < 10; round++)
        {
            using var process = CProgram.Start(peer, _segment.Path, "objects", "o", "", "1000000");
            Assert.Equal("ping", process.StandardOutput.ReadLine());
            Thread.Sleep(round * 3);
            int port = PortTable.Find(_segment.First, System.Text.Encoding.ASCII.GetBytes($"cpeer.{process.Id}"));
            Assert.True(PortTable.IsAlive(_segment.First, port));
            process.Kill();
            process.WaitForExit();
            Assert.False(PortTable.IsAlive(_segment.First, port));
            using var successor = TestSegment.Bind(_segment.Join(), $"cpeer.{process.Id}", 300, transient: true);
            Assert.Equal(port, successor.Number);
            Assert.True(successor.Recovered.HadPredecessor);
            var report = Fsck.Check(_segment.First);
            Assert.Empty(report.Findings.Where(finding => finding.Kind != FsckKind.Counters).Select(finding => finding.Text));
            Assert.Equal(300, report.Pages.HeldBy(port));
            Assert.Equal(1023 - 200 - 300, report.Pages[PageState.Common]);
        }

        Assert.Null(server.Failure);
    }
}
