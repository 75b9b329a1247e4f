using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The whole chain is one process, and dies under load.</summary>
public sealed class KilledUpTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("writeback", 64)]
    [InlineData("writethrough", 64)]
    public void All_that_was_acknowledged_is_there_after_kill_9_at_any_time(string policy, int flushEvery)
    {
        string[] up = ["up", .. Chain.Small, "--set", $"cached.policy={policy}", "--set", "cached.dirty-age=200ms"];
        string record = Path.Combine(_chain.Root, "record");
        var random = new Random(20131);
        var process = _chain.Start(up);
        for (int round = 0; round < 5; round++)
        {
            var stamps = _chain.Stamps("write", _chain.Uri("demo"), record, $"{flushEvery}");
            stamps.WaitForOutput("acknowledged", 1 + random.Next(8));
            Thread.Sleep(random.Next(300));
            Chain.KillHard(process);
            stamps.WaitForOutput("recorded");
            stamps.End().Good();

            process = _chain.Start(up);
            var check = _chain.Stamps("check", _chain.Uri("demo"), record).End();
            Assert.True(check.Code == 0, $"round {round}: {check.Output}{check.Error}\n{_chain.Log}");
        }

        _chain.WaitForLog("segment of a former run found");
        // In order, and from the store alone.
        _chain.Run("down").Good();
        Assert.False(Xseg.Memory.Segment.Exists(_chain.Segment));
        _chain.Start(up);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        _chain.Run("down").Good();
    }
}
