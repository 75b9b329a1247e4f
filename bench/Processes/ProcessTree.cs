namespace Archipelago.Experiments.Processes;

/// <summary>Which processes are ours: this one, its descendants, and daemons that were named (ceph's leave the tree).</summary>
internal static class ProcessTree
{
    private static readonly HashSet<int> Named = [];

    /// <summary>Counts a daemon and its descendants as ours.</summary>
    internal static void Adopt(int pid) => Named.Add(pid);

    /// <summary>Ids of all of them.</summary>
    internal static List<int> Own()
    {
        var children = new Dictionary<int, List<int>>();
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(directory), out int pid) || ParentOf(pid) is not { } parent) continue;
            if (!children.TryGetValue(parent, out var list)) children.Add(parent, list = []);
            list.Add(pid);
        }

        var found = new List<int>();
        var seen = new HashSet<int>();
        var open = new Stack<int>(Named.Append(Environment.ProcessId));
        while (open.TryPop(out int next))
        {
            if (!seen.Add(next)) continue;
            found.Add(next);
            foreach (int child in children.GetValueOrDefault(next) ?? []) open.Push(child);
        }

        return found;
    }

    private static int? ParentOf(int pid)
    {
        try
        {
            string text = File.ReadAllText($"/proc/{pid}/stat");
            return int.Parse(text[(text.LastIndexOf(')') + 2)..].Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
