using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Hosting.Tests;

public sealed class ConfigTests : IDisposable
{
    private enum Mode
    {
        Back,
        Through,
    }

    private static readonly OptionSpec<long> Size = Option.Bytes("cache-size", "1G", 4096, 1L << 40, "How much.", multiple: 4096);
    private static readonly OptionSpec<TimeSpan> Age = Option.Duration("max-age", "5s", TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1), "How old.");
    private static readonly OptionSpec<bool> Huge = Option.Boolean("huge-pages", "yes", "Whether.");
    private static readonly OptionSpec<long> Shards = Option.Integer("shards", "1", 1, 64, "How many.");
    private static readonly OptionSpec<Mode> Policy = Option.Choice("policy", "writeback", "Which.", ("writeback", Mode.Back), ("writethrough", Mode.Through));
    private static readonly OptionSpec<double> Dirty = Option.Ratio("dirty-limit", "50%", 0, 1, "What share.");
    private static readonly OptionSpec<string> Motto = Option.Text("motto", "", "Words; \"quoted\" # or not.", maxBytes: 20);
    private static readonly OptionSpec<string> Dir = Option.Path("directory", null, "Where.");
    private static readonly OptionSpec<HostPort?> Listen = Option.HostPort("listen", "", "Where to listen.");
    private static readonly OptionSpec<IReadOnlyList<string>> Pools = Option.List("pools", "", "Which pools.");
    private static readonly OptionSpec<string> AnyRoute = Option.Text("route", null, "The port that a route leads to.", minBytes: 1);

    private static readonly SectionSpec Segment = SectionSpec.Single("segment", "The segment.", [Size, Huge, Motto, Listen, Pools]);
    private static readonly SectionSpec Cached = SectionSpec.Variant("peer", "cached", "The cache.", [Age, Shards, Policy, Dirty]);
    private static readonly SectionSpec Filed = SectionSpec.Variant("peer", "filed", "Files.", [Dir, Shards]);
    private static readonly SectionSpec Route = SectionSpec.Single("route", "Routes.", [], AnyRoute);
    private static readonly SectionSpec Export = SectionSpec.Named("export", "Exports.", [Motto]);
    private static readonly ConfigSchema Schema = new(Segment, Cached, Filed, Route, Export);

    private readonly TemporaryDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    private Config Load(string text, Dictionary<string, string>? environment = null, params string[] settings) =>
        ConfigLoader.Load(Schema, new ConfigSources
        {
            File = _temp.Write("a.conf", text),
            Environment = environment ?? [],
            Settings = settings,
            WorkingDirectory = "/work-dir",
        });

    private ConfigError Single(string text, Dictionary<string, string>? environment = null, params string[] settings)
    {
        ConfigException e = Assert.Throws<ConfigException>(() => Load(text, environment, settings));
        Assert.Equal(Errno.EINVAL, e.Errno);
        return Assert.Single(e.Errors);
    }

    [Fact]
    public void A_file_gives_typed_values_and_the_rest_are_defaults()
    {
        Config config = Load("""
            # comment
            ; comment
            [segment]
            cache-size = 1.5GiB   # inline
            motto = "a # b ; \"c\" \\"
            listen = [::1]:10809
            pools = rbd, ssd
            [peer.cached]
            max-age = 10ms
            policy = WriteThrough
            dirty-limit=0.25
            [peer.disk]
            type = filed
            directory = data;not-a-comment
            [route]
            blocks = disk:0
            """);
        ConfigSection segment = config[Segment];
        Assert.Equal(3L << 29, segment.Get(Size));
        Assert.Equal("a # b ; \"c\" \\", segment.Get(Motto));
        Assert.Equal(new HostPort("::1", 10809), segment.Get(Listen));
        Assert.Equal(["rbd", "ssd"], segment.Get(Pools));
        Assert.True(segment.Get(Huge));
        Assert.False(segment.IsSet(Huge));
        Assert.Equal(4, segment.Origin(Size).Line);
        ConfigSection cached = Assert.Single(config.All(Cached));
        Assert.Equal(TimeSpan.FromMilliseconds(10), cached.Get(Age));
        Assert.Equal(Mode.Through, cached.Get(Policy));
        Assert.Equal(0.25, cached.Get(Dirty));
        ConfigSection disk = Assert.Single(config.All(Filed));
        Assert.Equal("disk", disk.Instance);
        Assert.Equal(_temp.File("data;not-a-comment"), disk.Get(Dir));
        Assert.Equal(2, config.AllOfKind("peer").Count());
        Assert.True(config[Route].TryGet(AnyRoute, "blocks", out string target));
        Assert.Equal("disk:0", target);
        Assert.False(config[Route].TryGet(AnyRoute, "maps", out _));
    }

    [Fact]
    public void Later_sources_override_earlier_ones()
    {
        const string File = "[segment]\nhuge-pages = no\nmotto = file\ncache-size = 4k\n[peer.cached]\nshards = 2\n";
        var environment = new Dictionary<string, string>
        {
            ["ARCHIPELAGO_SEGMENT_MOTTO"] = "environment",
            ["ARCHIPELAGO_PEER_CACHED_SHARDS"] = "3",
            ["ARCHIPELAGO_ROUTE_BLOCKS"] = "cached:1",
            ["ARCHIPELAGO_SEGMENT_CACHE_SIZE"] = "8k",
            ["PATH"] = "/bin",
        };
        Config config = Load(File, environment, "segment.cache-size=12k", "peer.filed.directory=x", "segment.cache-size=16k");
        Assert.False(config[Segment].Get(Huge));
        Assert.Equal("environment", config[Segment].Get(Motto));
        Assert.Equal(16384, config[Segment].Get(Size));
        Assert.Equal("--set segment.cache-size=16k", config[Segment].Origin(Size).ToString());
        Assert.Equal(3, config.Find("peer.cached")!.Get(Shards));
        Assert.Equal("/work-dir/x", config.Find("peer.filed")!.Get(Dir));
        Assert.True(config[Route].TryGet(AnyRoute, "blocks", out string blocks) && blocks == "cached:1");
    }

    [Theory]
    [InlineData("[segment]\ncache-sise = 4k", 2, "segment", "cache-sise", "did you mean cache-size?")]
    [InlineData("[segment]\ncache_size = 4k", 2, null, null, "a key of lower-case letters")]
    [InlineData("[segmnet]\n", 1, "segmnet", null, "did you mean [segment]?")]
    [InlineData("[export]\n", 1, "export", null, "one of the sections")]
    [InlineData("\n[segment]\nhuge-pages = yes\nhuge-pages = no", 4, "segment", "huge-pages", "the first is on line 3")]
    [InlineData("[segment]\n\n[segment]", 3, "segment", null, "the first is on line 1")]
    [InlineData("cache-size = 4k", 1, null, "cache-size", "[section] before")]
    [InlineData("[segment]\ncache-size", 2, "segment", null, "key = value")]
    [InlineData("[segment", 1, null, null, "[name] or [kind.name]")]
    [InlineData("[a.b.c]", 1, null, null, "[name] or [kind.name]")]
    [InlineData("[]", 1, null, null, "[name] or [kind.name]")]
    [InlineData("[segment]\nmotto = \"open", 2, "segment", "motto", "a closing quote")]
    [InlineData("[segment]\nmotto = \"a\" b", 2, "segment", "motto", "a closing quote")]
    [InlineData("[segment]\nmotto = a\u0001b", 2, "segment", null, "control characters")]
    [InlineData("[segment]\nmotto = 123456789012345678901", 2, "segment", "motto", "at most 20 bytes")]
    [InlineData("[segment]\ncache-size = lots", 2, "segment", "cache-size", "a size from 4k to 1T in steps of 4k")]
    [InlineData("[segment]\ncache-size = 4097", 2, "segment", "cache-size", "a size")]
    [InlineData("[segment]\ncache-size = 2T", 2, "segment", "cache-size", "a size")]
    [InlineData("[segment]\ncache-size = -4k", 2, "segment", "cache-size", "a size")]
    [InlineData("[segment]\ncache-size = 99999999999999999999E", 2, "segment", "cache-size", "a size")]
    [InlineData("[segment]\ncache-size = 4kk", 2, "segment", "cache-size", "a size")]
    [InlineData("[segment]\ncache-size =", 2, "segment", "cache-size", "a size")]
    [InlineData("[segment]\nhuge-pages = maybe", 2, "segment", "huge-pages", "true or false")]
    [InlineData("[segment]\nlisten = ::1:80", 2, "segment", "listen", "host:port")]
    [InlineData("[segment]\nlisten = host", 2, "segment", "listen", "host:port")]
    [InlineData("[segment]\nlisten = host:65536", 2, "segment", "listen", "host:port")]
    [InlineData("[segment]\nlisten = ho st:1", 2, "segment", "listen", "host:port")]
    [InlineData("[segment]\npools = a,,b", 2, "segment", "pools", "words separated by commas")]
    [InlineData("[peer.cached]\nmax-age = 5", 2, "peer.cached", "max-age", "with its unit")]
    [InlineData("[peer.cached]\nmax-age = 2h", 2, "peer.cached", "max-age", "from 1ms to 1h")]
    [InlineData("[peer.cached]\nmax-age = 1.0000001s", 2, "peer.cached", "max-age", "a duration")]
    [InlineData("[peer.cached]\nshards = 65", 2, "peer.cached", "shards", "an integer from 1 to 64")]
    [InlineData("[peer.cached]\nshards = 1e1", 2, "peer.cached", "shards", "an integer from 1 to 64")]
    [InlineData("[peer.cached]\npolicy = writeback2", 2, "peer.cached", "policy", "one of writeback, writethrough")]
    [InlineData("[peer.cached]\ndirty-limit = 101%", 2, "peer.cached", "dirty-limit", "a ratio from 0 to 1")]
    [InlineData("[peer.cached]\ndirectory = x", 2, "peer.cached", "directory", "a key of [peer.cached]")]
    [InlineData("[peer.filed]\n", 1, "peer.filed", "directory", "this key is required")]
    [InlineData("[peer.filed]\ndirectory =", 2, "peer.filed", "directory", "a path")]
    [InlineData("[peer.x]\n", 1, "peer.x", "type", "a key type with one of cached, filed")]
    [InlineData("[peer.x]\nshards = 0\ntype = radosd", 3, "peer.x", "type", "one of cached, filed")]
    [InlineData("[route]\nblocks =", 2, "route", "blocks", "bytes of text")]
    public void A_fault_in_the_file_is_told_with_file_line_section_and_key(string text, int line, string? section, string? key, string expected)
    {
        ConfigError error = Single(text);
        Assert.Equal(_temp.File("a.conf"), error.Origin.Source);
        Assert.Equal(line, error.Origin.Line);
        Assert.Equal(key, error.Key);
        if (section is not null)
        {
            Assert.Equal(section, error.Section);
        }

        Assert.Contains(expected, error.Expected, StringComparison.Ordinal);
        Assert.NotEmpty(error.Found);
        Assert.StartsWith($"{_temp.File("a.conf")}:{line}: ", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_message_reads_well()
    {
        string message = Single("[segment]\ncache-size = lots").ToString();
        Assert.Equal(
            $"{_temp.File("a.conf")}:2: [segment] cache-size: expected a size from 4k to 1T in steps of 4k, such as 64M, found \"lots\"", message);
    }

    [Fact]
    public void All_faults_of_all_sources_are_reported_together()
    {
        ConfigException e = Assert.Throws<ConfigException>(() => Load(
            "[segment]\nhuge-pages = x\ncache-size = y\n[nonsense]\na = b\n",
            new Dictionary<string, string> { ["ARCHIPELAGO_SEGMENT_MOTTO"] = new('m', 30), ["ARCHIPELAGO_SEGMENT_MOTO"] = "x" },
            "segment.listen=?", "bad", "segment=1", "x.y=1"));
        Assert.Equal(9, e.Errors.Count);
        Assert.Equal(9, e.Message.Split('\n').Length);
        Assert.Contains("environment ARCHIPELAGO_SEGMENT_MOTO:", e.Message, StringComparison.Ordinal);
        Assert.Contains("--set segment.listen=?: [segment] listen: expected host:port", e.Message, StringComparison.Ordinal);
        Assert.Contains("--set bad: expected section.key=value, found \"bad\"", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_binary_bytes_and_a_huge_file_are_errors()
    {
        var missing = new ConfigSources { File = _temp.File("none.conf") };
        Assert.Contains("no such file", Assert.Throws<ConfigException>(() => ConfigLoader.Load(Schema, missing)).Message, StringComparison.Ordinal);
        Assert.Contains("UTF-8", Assert.Single(IniParser.Parse("f", [(byte)'#', 10, 0xff, 0xfe]).Errors).Expected, StringComparison.Ordinal);
        Assert.Contains("at most", Assert.Single(IniParser.Parse("f", new byte[IniParser.MaxFileBytes + 1]).Errors).Expected, StringComparison.Ordinal);
        var directory = new ConfigSources { File = _temp.Path };
        Assert.Equal(Errno.EINVAL, Assert.Throws<ConfigException>(() => ConfigLoader.Load(Schema, directory)).Errno);
    }

    [Fact]
    public void Random_bytes_never_crash_the_parser()
    {
        var random = new Random(1);
        byte[] alphabet = "[]=#;\"\\ \n\r\tab.-_\0\u00e9"u8.ToArray();
        for (int round = 0; round < 20_000; round++)
        {
            byte[] bytes = new byte[random.Next(60)];
            for (int i = 0; i < bytes.Length; i++)
            {
                bytes[i] = random.Next(10) == 0 ? (byte)random.Next(256) : alphabet[random.Next(alphabet.Length)];
            }

            IniDocument document = IniParser.Parse("f", bytes);
            Assert.All(document.Sections, s => Assert.True(ConfigNames.IsSection(s.Name)));
            Assert.All(document.Errors, e => Assert.DoesNotContain('\n', e.ToString()));
        }
    }

    [Fact]
    public void A_variable_that_could_mean_two_options_is_refused()
    {
        SectionSpec one = SectionSpec.Single("a", "A.", [Option.Text("b-c", "", "D.")]);
        SectionSpec two = SectionSpec.Named("a", "A.", [Option.Text("c", "", "D.")]);
        var sources = new ConfigSources { BuiltIn = "[a.b]\n", Environment = new Dictionary<string, string> { ["ARCHIPELAGO_A_B_C"] = "x" } };
        ConfigException e = Assert.Throws<ConfigException>(() => ConfigLoader.Load(new ConfigSchema(one, two), sources));
        Assert.Contains("[a] b-c and [a.b] c", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_reserved_variable_is_left_alone_and_the_type_may_come_from_anywhere()
    {
        var sources = new ConfigSources
        {
            BuiltIn = "[peer.x]\n[peer.y]\ntype = filed\n",
            Environment = new Dictionary<string, string> { ["ARCHIPELAGO_STATE"] = "/x", ["ARCHIPELAGO_PEER_X_TYPE"] = "cached" },
            ReservedVariables = ["ARCHIPELAGO_STATE"],
            Settings = ["peer.y.type=cached"],
        };
        Assert.Equal(2, ConfigLoader.Load(Schema, sources).All(Cached).Count());
    }

    [Fact]
    public void The_example_file_loads_as_it_is_and_uncommented_it_means_the_same()
    {
        string example = ConfigHelp.Example([Segment, Cached]);
        Assert.True(Load(example)[Segment].IsWritten);
        Assert.All(example.Split('\n'), l => Assert.True(l.Length <= 84, l));
        string open = string.Join('\n', example.Split('\n').Select(l => l.StartsWith('#') && !l.StartsWith("# ", StringComparison.Ordinal) ? l[1..] : l));
        Config config = Load(open);
        Assert.True(config[Segment].IsSet(Size));
        Assert.Equal(1L << 30, config[Segment].Get(Size));
        Assert.Equal(TimeSpan.FromSeconds(5), config.Find("peer.cached")!.Get(Age));
    }

    [Fact]
    public void What_is_described_loads_back_with_the_same_values()
    {
        Config config = Load("[segment]\nmotto = \"# \\\\ \\\"\"\ncache-size=12k\n[peer.cached]\nmax-age=90s\n[export.e]\nmotto=m");
        Config again = Load(config.Describe());
        Assert.Equal(config.Describe().Split('\n').Select(Value), again.Describe().Split('\n').Select(Value));
        Assert.Equal("# \\ \"", again[Segment].Get(Motto));
        Assert.Equal(TimeSpan.FromSeconds(90), again.Find("peer.cached")!.Get(Age));

        static string Value(string line) => line.Split("  # ")[0];
    }

    [Fact]
    public void Help_and_man_page_name_every_option_with_type_default_and_description()
    {
        string help = ConfigHelp.Text(Schema.Sections);
        string man = ConfigHelp.ManPage(Schema.Sections);
        foreach (OptionSpec option in Schema.Sections.SelectMany(s => s.Options))
        {
            Assert.Contains($"  {option.Key} = {option.Placeholder}\n", help, StringComparison.Ordinal);
            Assert.Contains(option.Key.Replace("-", "\\-", StringComparison.Ordinal), man, StringComparison.Ordinal);
        }

        Assert.Contains("Default: 1G.", help, StringComparison.Ordinal);
        Assert.Contains("Required.", help, StringComparison.Ordinal);
        Assert.Contains("[export.NAME]", help, StringComparison.Ordinal);
        Assert.Contains("<route>", help, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_option_table_is_our_own_fault_and_throws_at_once()
    {
        Assert.Throws<ArgumentException>(() => Option.Integer("n", "7", 1, 5, "D."));
        Assert.Throws<ArgumentException>(() => Option.Integer("N", "1", 1, 5, "D."));
        Assert.Throws<ArgumentException>(() => Option.Integer("n", "1", 1, 5, " "));
        Assert.Throws<ArgumentException>(() => SectionSpec.Single("s", "S.", [Size, Size]));
        Assert.Throws<ArgumentException>(() => new ConfigSchema(Segment, Segment));
        Assert.Throws<ArgumentException>(() => Load("")[Segment].Get(Age));
    }

    [Theory]
    [InlineData("512", 512)]
    [InlineData("4k", 4096)]
    [InlineData("4K", 4096)]
    [InlineData("64M", 64L << 20)]
    [InlineData("1 GiB", 1L << 30)]
    [InlineData("0.5kb", 512)]
    [InlineData("7E", 7L << 60)]
    public void Sizes_are_powers_of_1024(string text, long bytes)
    {
        var type = new BytesType(0, long.MaxValue);
        Assert.True(type.TryParse(text, "/", out long value, out _));
        Assert.Equal(bytes, value);
        Assert.True(type.TryParse(type.Format(value), "/", out long again, out _) && again == value);
    }

    [Theory]
    [InlineData("50us", 50)]
    [InlineData("10ms", 10_000)]
    [InlineData("1.5s", 1_500_000)]
    [InlineData("2m", 120_000_000)]
    [InlineData("1h", 3_600_000_000)]
    [InlineData("1d", 86_400_000_000)]
    [InlineData("0", 0)]
    public void Durations_have_units(string text, long microseconds)
    {
        var type = new DurationType(TimeSpan.Zero, TimeSpan.MaxValue);
        Assert.True(type.TryParse(text, "/", out TimeSpan value, out _));
        Assert.Equal(microseconds, (long)value.TotalMicroseconds);
        Assert.True(type.TryParse(type.Format(value), "/", out TimeSpan again, out _) && again == value);
    }
}
