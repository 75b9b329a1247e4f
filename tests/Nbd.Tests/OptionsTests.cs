using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Xseg;

namespace Archipelago.Nbd.Tests;

public sealed class OptionsTests
{
    [Fact]
    public void DefaultsOfTheFileAreThoseOfTheRecord()
    {
        var options = NbdOptions.From(Load("[peer.nbd]\n"));
        Assert.Equal(new NbdOptions() with { ReadOnlyExports = options.ReadOnlyExports }, options);
        Assert.Empty(options.ReadOnlyExports);
    }

    [Fact]
    public void EveryOptionIsTakenOver()
    {
        var options = NbdOptions.From(Load(
            "[peer.nbd]\nsocket = /run/n\ntcp = 127.0.0.1:7\nvolumes = v\nread-only = a, b\ndefault-export = d\nmax-connections = 3\n"
            + "max-in-flight = 4\ndeadline = 5s\nhandshake-timeout = 6s\nstall-timeout = 7s\npages = 800\n"));
        Assert.Equal(["a", "b"], options.ReadOnlyExports);
        Assert.Equal("127.0.0.1:7", options.TcpAddress!.ToString());
        Assert.Equal(
            ("/run/n", "v", "d", 3, 4, 5, 6, 7, 800),
            (options.SocketPath!, options.Route, options.DefaultExport, options.MaxConnections, options.MaxInFlight, options.RequestDeadline.Seconds,
                options.HandshakeTimeout.Seconds, options.StallTimeout.Seconds, options.Pages));
    }

    [Fact]
    public void AHostNameToListenOnIsRefused() =>
        Assert.Throws<ConfigException>(() => NbdOptions.From(Load("[peer.nbd]\ntcp = example:7\n")));

    [Fact]
    public async Task OptionsOutOfRangeAreRefusedAtStart()
    {
        foreach (var change in new Func<NbdOptions, NbdOptions>[]
        {
            options => options with { SocketPath = null },
            options => options with { MaxConnections = 0 },
            options => options with { MaxInFlight = 1025 },
            options => options with { Pages = 10 },
        })
            Assert.Equal(Errno.EINVAL, (await Assert.ThrowsAsync<ErrnoException>(() => TestServer.StartAsync(change))).Errno);
    }

    private static ConfigSection Load(string text) =>
        ConfigLoader.Load(new ConfigSchema(SectionSpec.Variant("peer", "nbd", "The gateway.", NbdOptions.All)), new ConfigSources { BuiltIn = text })
            .Sections.Single();
}
