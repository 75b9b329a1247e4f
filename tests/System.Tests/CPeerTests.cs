using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>A peer that is no .NET program joins a chain that runs.</summary>
public sealed class CPeerTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Theory]
    [InlineData("cache")]
    [InlineData("blocks")]
    public void A_peer_in_C_pings_writes_and_reads_beside_nbd_clients(string route)
    {
        string program = Path.Combine(_chain.Root, "cpeer");
        _chain.Execute(
            "gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I", Path.Combine(Chain.Source, "xseg/include"), "-o", program,
            Path.Combine(Chain.Source, "tests/cpeer/cpeer.c")).Good();
        _chain.Start(["up", .. Chain.Small]);
        var fio = _chain.BeginFio("demo", "--rw=randrw");
        // The flow of a volume exists when somebody has opened it, and may be written to as long as somebody has.
        _chain.Run("volume", "open", "demo").Good();
        for (int i = 0; i < 3; i++) _chain.Execute(program, _chain.Segment, route, $"c-object-{i}", "demo", "4").Good();
        fio.End().Good();
        Assert.DoesNotContain(_chain.Run("segment", "requests", "--json").Good().Json.EnumerateArray(), r => r.GetProperty("issuer").GetString()!.Contains("cpeer", StringComparison.Ordinal));
        _chain.Run("down").Good();
    }
}
