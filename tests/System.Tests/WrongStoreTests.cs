using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>A start with another configuration after a kill under load.</summary>
public sealed class WrongStoreTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void What_was_acknowledged_for_files_is_not_destaged_into_another_store_and_is_there_after_the_right_start()
    {
        string memd = _chain.Write("memd.conf", "[segment]\nspare = 4096\n[memd]\n[cached]\nsize = 32M\n[mapperd]\n[vlmcd]\n[nbd]\n");
        string[] up = ["up", .. Chain.Small, "--set", "cached.dirty-age=1h"];
        string record = Path.Combine(_chain.Root, "record");
        var process = _chain.Start(up);
        var stamps = _chain.Stamps("write", _chain.Uri("demo"), record, "64");
        stamps.WaitForOutput("acknowledged", 4);
        Chain.KillHard(process);
        stamps.WaitForOutput("recorded");
        stamps.End().Good();

        foreach (string[] wrong in (string[][])[["up", "--config", memd], [.. up, "--set", $"filed.directory={_chain.Root}/other"]])
        {
            var refused = _chain.Run(wrong);
            Assert.Equal(1, refused.Code);
            Assert.Contains($"'filed {_chain.State}/objects'", refused.Error, StringComparison.Ordinal);
        }

        _chain.Start(up);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        _chain.Run("down").Good();
        _chain.Start(up);
        _chain.Stamps("check", _chain.Uri("demo"), record).End().Good();
        _chain.Run("down").Good();
    }
}
