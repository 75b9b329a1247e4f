using Archipelago.Runtime;
using Archipelago.Radosd;

namespace Archipelago.Cli.Peers;

/// <summary>Names of stores, by which a start recognises that the pages of a segment belong to another one. Cheap: nothing is connected.</summary>
internal static class StoreNames
{
    internal static string Directory(string path) => $"filed {RealPath(Path.GetFullPath(path), 0)}";

    internal static string Pool(RadosdOptions options) =>
        $"radosd cluster={Fsid(options.CephConf) ?? Path.GetFullPath(options.CephConf)} pool={options.Pool} namespace={options.Namespace}";

    /// <summary>The path without links; what does not exist yet is taken as it is.</summary>
    private static string RealPath(string path, int links)
    {
        string at = "/";
        foreach (string part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            at = Path.Combine(at, part);
            if (links < 40 && new DirectoryInfo(at).LinkTarget is { } target) at = RealPath(Path.GetFullPath(target, Path.GetDirectoryName(at)!), links + 1);
        }

        return at;
    }

    /// <summary>The cluster's id, if the Ceph configuration says it: two files may lead to one cluster.</summary>
    private static string? Fsid(string path)
    {
        try
        {
            foreach (string line in File.ReadLines(path))
                if (line.Split('=', 2) is [var key, var value] && key.Trim() == "fsid") return value.Trim();
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            // The peer itself says so when it starts.
        }

        return null;
    }
}
