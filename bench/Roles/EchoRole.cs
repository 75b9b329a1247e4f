using Archipelago.Bench;

namespace Archipelago.Experiments.Roles;

/// <summary>The other end of the bare ring: <c>role echo FILE CORE</c>. Sends back what comes, until it gets <see cref="Stop"/>.</summary>
internal static class EchoRole
{
    internal const uint Stop = uint.MaxValue;

    internal static int Run(string[] arguments)
    {
        ThreadCpu.Pin(int.Parse(arguments[1], System.Globalization.CultureInfo.InvariantCulture));
        using var ring = new BareRing(arguments[0], isFirst: false);
        Console.WriteLine("ready");
        while (Turn(ring))
        {
        }

        return 0;
    }

    // A method of its own that is called again and again: so it gets the best code, not that of a loop replaced on the way.
    private static bool Turn(BareRing ring)
    {
        for (int i = 0; i < 100_000; i++)
        {
            while (ring.TryReceive(out uint value))
            {
                if (value == Stop) return false;
                ring.Send(value);
            }
        }

        return true;
    }
}
