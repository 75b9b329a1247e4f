namespace Archipelago.Runtime.Configuration;

/// <summary>
/// Makes the rows of option tables. Defaults are texts, as they would stand in a file; null makes the option required.
/// </summary>
public static class Option
{
    private const int MaxPathBytes = 4095;

    /// <summary>A size in bytes within a range, both ends included, in steps of <paramref name="multiple"/>.</summary>
    public static OptionSpec<long> Bytes(string key, string? @default, long min, long max, string description, long multiple = 1) =>
        new(key, new BytesType(min, max, multiple), @default, description);

    /// <summary>A duration within a range, both ends included.</summary>
    public static OptionSpec<TimeSpan> Duration(string key, string? @default, TimeSpan min, TimeSpan max, string description) =>
        new(key, new DurationType(min, max), @default, description);

    /// <summary>A yes or no.</summary>
    public static OptionSpec<bool> Boolean(string key, string? @default, string description) =>
        new(key, new BooleanType(), @default, description);

    /// <summary>An integer within a range, both ends included.</summary>
    public static OptionSpec<long> Integer(string key, string? @default, long min, long max, string description) =>
        new(key, new IntegerType(min, max), @default, description);

    /// <summary>A ratio within a range, both ends included; 0.5 or 50%.</summary>
    public static OptionSpec<double> Ratio(string key, string? @default, double min, double max, string description) =>
        new(key, new RatioType(min, max), @default, description);

    /// <summary>One of a set of words, each with its value (an enum's member, as a rule).</summary>
    public static OptionSpec<T> Choice<T>(string key, string? @default, string description, params (string Word, T Value)[] choices)
        where T : struct =>
        new(key, new ChoiceType<T>(choices), @default, description);

    /// <summary>A text of bounded length in UTF-8 bytes.</summary>
    public static OptionSpec<string> Text(string key, string? @default, string description, int minBytes = 0, int maxBytes = 4096) =>
        new(key, new StringType(minBytes, maxBytes), @default, description);

    /// <summary>Words separated by commas.</summary>
    public static OptionSpec<IReadOnlyList<string>> List(string key, string? @default, string description) =>
        new(key, new ListType(), @default, description);

    /// <summary>A path; the value is absolute, or empty where an empty default says that it may be.</summary>
    public static OptionSpec<string> Path(string key, string? @default, string description, int maxBytes = MaxPathBytes) =>
        new(key, new PathType(@default is "", maxBytes), @default, description);

    /// <summary>A host and a port; null where an empty default says that it may be empty.</summary>
    public static OptionSpec<HostPort?> HostPort(
        string key, string? @default, string description, int? defaultPort = null, bool allowPortZero = false) =>
        new(key, new HostPortType(@default is "", defaultPort, allowPortZero), @default, description);
}
