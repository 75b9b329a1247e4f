using Archipelago.Runtime.Configuration;

namespace Archipelago.Filed;

/// <summary>Where and how a <see cref="FiledPeer"/> keeps its objects.</summary>
public sealed record FiledOptions
{
    /// <summary>Option of a configuration file, see <see cref="Directory"/>.</summary>
    public static readonly OptionSpec<string> DirectoryOption = Option.Path("directory", null, "Directory that holds the objects; made with mode 0700 if it does not exist.");
    /// <summary>See <see cref="Threads"/>.</summary>
    public static readonly OptionSpec<long> ThreadsOption = Option.Integer("threads", "4", 1, 256, "Threads that do I/O: as many requests are under way in the kernel at once.");
    /// <summary>See <see cref="Direct"/>.</summary>
    public static readonly OptionSpec<bool> DirectOption = Option.Boolean("direct", "false", "Bypass the page cache (O_DIRECT) for requests of whole, aligned 4 KiB pages.");
    /// <summary>See <see cref="OpenFiles"/>.</summary>
    public static readonly OptionSpec<long> OpenFilesOption = Option.Integer("open-files", "512", 16, 1 << 20, "Files that are kept open.");
    /// <summary>See <see cref="ReadAtOnce"/>.</summary>
    public static readonly OptionSpec<bool> ReadAtOnceOption = Option.Boolean("read-at-once", "true", "Answer small reads that the page cache holds without a thread (not with direct).");

    /// <summary>See <see cref="Shared"/>.</summary>
    public static readonly OptionSpec<bool> SharedOption = Option.Boolean("shared", "false", "Several filed, of several segments or hosts, use the directory at once; all of them must say so.");

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } = [DirectoryOption, ThreadsOption, DirectOption, OpenFilesOption, ReadAtOnceOption, SharedOption];

    /// <summary>Directory of the objects; made if missing. One filed at a time serves it, unless all that do are <see cref="Shared"/>.</summary>
    public required string Directory { get; init; }
    /// <summary>I/O threads, 1 to 256.</summary>
    public int Threads { get; init; } = 4;
    /// <summary>Direct I/O for requests of whole pages; others, and everything that is no READ or WRITE, use the page cache.</summary>
    public bool Direct { get; init; }
    /// <summary>Files kept open; a few more may be open for a moment.</summary>
    public int OpenFiles { get; init; } = 512;
    /// <summary>Reads of up to 64 KiB are tried on the reactor first, without blocking.</summary>
    public bool ReadAtOnce { get; init; } = true;

    /// <summary>Others serve the directory, too: each object is looked up anew where another may have replaced it. What two of them change at once is the locks' matter.</summary>
    public bool Shared { get; init; }

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    public static FiledOptions From(ConfigSection section) => new()
    {
        Directory = section.Get(DirectoryOption),
        Threads = (int)section.Get(ThreadsOption),
        Direct = section.Get(DirectOption),
        OpenFiles = (int)section.Get(OpenFilesOption),
        ReadAtOnce = section.Get(ReadAtOnceOption),
        Shared = section.Get(SharedOption),
    };
}
