using Archipelago.Cli.Peers;

namespace Archipelago.Cli.Daemon;

/// <summary>Says how to attach to a volume, in lines that work as they are pasted.</summary>
internal static class Greeting
{
    /// <summary>How the gateways of this configuration name the volume.</summary>
    internal static IReadOnlyList<string> Uris(DaemonConfig config, string volume) =>
        [.. PeerCatalogue.Kinds.Where(k => k.UriOf is not null && k.IsEnabled(config.Config)).SelectMany(k => k.UriOf!(config.Config[k.Section], volume))];

    internal static void Print(UpReport report)
    {
        Console.Out.WriteLine($"archipelago {PeerProcess.Version} is up: state {report.State}, segment {report.Segment}, control socket {report.Socket}");
        foreach (var volume in report.Volumes.Take(1))
        {
            foreach (string uri in volume.Uris) Attach(volume.Name, uri);
        }

        string state = report.State == StateDirectory.Default() ? "" : $" --state '{report.State}'";
        if (report.Volumes.Count > 1) Console.Out.WriteLine($"\nand {report.Volumes.Count - 1} more:    archipelago volume list{state}");
        Console.Out.WriteLine($"\nMore volumes:  archipelago volume create{state} NAME SIZE\nState:         archipelago status{state}\nStop:          archipelago down{state}{(report.Log is null ? "   (or Ctrl-C)" : "")}");
        Console.Out.Flush();
    }

    private static void Attach(string volume, string uri)
    {
        Console.Out.WriteLine($"""

            volume {volume}:
              URI   {uri}
              info  qemu-img info '{uri}'
              qemu  qemu-system-x86_64 -m 512 -nographic -drive 'file={uri},format=raw,if=virtio'
              fio   fio --name={volume} --ioengine=nbd --uri='{uri}' --rw=randrw --bs=4k --size=64m --iodepth=16 --verify=crc32c --verify_state_save=0
            """);
    }
}
