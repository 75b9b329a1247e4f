using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>`volume fsck` by the command, on files, so that their damage can be made.</summary>
public sealed class FsckTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void Damage_is_told_as_a_table_and_as_JSON_with_exit_status_1_and_nothing_else_is()
    {
        _chain.Start(["up", .. Chain.Small]);
        Write("write -P 1 0 9M");
        _chain.Run("volume", "snapshot", "demo@s1").Good();
        Write("write -P 2 4M 4k");
        Assert.Matches("(?m)^0 problems$", _chain.Run("volume", "fsck").Good().Output);
        Assert.Equal(0, _chain.Run("volume", "fsck", "demo", "--objects", "--json").Good().Json.GetProperty("result").GetProperty("problems").GetInt32());

        string chunk = Directory.EnumerateFiles(Path.Combine(_chain.State, "objects"), "*", SearchOption.AllDirectories).Single(file => Path.GetFileName(file).StartsWith("m.", StringComparison.Ordinal));
        using (var file = File.OpenHandle(chunk, FileMode.Open, FileAccess.ReadWrite))
            RandomAccess.Write(file, [0xff], 8);
        var found = _chain.Run("volume", "fsck");
        Assert.Equal(1, found.Code);
        Assert.Matches($"(?m)^demo +{Path.GetFileName(chunk)} +0 +67108864 +sector 0 is damaged", found.Output);
        Assert.Matches("(?m)^1 problem$", found.Output);
        found = _chain.Run("volume", "fsck", "--objects", "--json");
        Assert.Equal(1, found.Code);
        Assert.Equal(0, found.Json.GetProperty("findings")[0].GetProperty("offset").GetInt64());
        Assert.Contains("restore", found.Json.GetProperty("findings")[0].GetProperty("advice").GetString(), StringComparison.Ordinal);
        Assert.Contains("ENOENT", _chain.Run("volume", "fsck", "nobody").Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_volume_with_a_damaged_header_hides_no_other_and_is_named_with_what_is_wrong()
    {
        _chain.Start(["up", .. Chain.Small]);
        _chain.Run("volume", "create", "other", "64M").Good();
        string id = _chain.Run("volume", "info", "other", "--json").Good().Json.GetProperty("id").GetString()!;
        string header = Directory.EnumerateFiles(Path.Combine(_chain.State, "objects"), "v." + id, SearchOption.AllDirectories).Single();
        using (var file = File.OpenHandle(header, FileMode.Open, FileAccess.ReadWrite))
            RandomAccess.Write(file, [9], 8);

        var usage = _chain.Run("volume", "du");
        Assert.Equal(1, usage.Code);
        Assert.Matches("(?m)^demo ", usage.Output);
        Assert.Contains("not counted: other: volume ", usage.Error, StringComparison.Ordinal);
        var list = _chain.Run("volume", "list").Good();
        Assert.Matches("(?m)^other +64 MiB +damaged", list.Output);
        Assert.Matches("other is damaged: .*layout version 9.*use the build that wrote it", list.Error);
        Assert.Contains("other: ", _chain.Run("volume", "info", "other").Error, StringComparison.Ordinal);
    }

    private void Write(string command) => _chain.Execute("qemu-io", "-f", "raw", "-c", command, "-c", "flush", _chain.Uri("demo")).Good();
}
