using System.Runtime.CompilerServices;

namespace Archipelago.Bench;

/// <summary>
/// Ranks 0 … count − 1 with probabilities ∝ 1 / (rank + 1)^theta, 0 &lt; theta &lt; 1, by Gray's method (SIGMOD 1994): two powers per
/// draw. The sum over all ranks is exact for the first million and an integral beyond, which is off by less than 10⁻⁶.
/// </summary>
internal readonly struct ZipfRanks
{
    private const long Exact = 1_000_000;

    private readonly double _count;
    private readonly double _zeta;
    private readonly double _alpha;
    private readonly double _eta;
    private readonly double _second;

    internal ZipfRanks(long count, double theta)
    {
        _count = count;
        _zeta = Zeta(count, theta);
        _alpha = 1 / (1 - theta);
        _second = 1 + Math.Pow(0.5, theta);
        _eta = (1 - Math.Pow(2.0 / count, 1 - theta)) / (1 - (_second / _zeta));
    }

    /// <summary>The rank for a uniform number in [0, 1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long At(double uniform)
    {
        double scaled = uniform * _zeta;
        if (scaled < 1 || _count < 2) return 0;
        if (scaled < _second || _count < 3) return 1;
        return Math.Min((long)(_count * Math.Pow((_eta * uniform) - _eta + 1, _alpha)), (long)_count - 1);
    }

    private static double Zeta(long count, double theta)
    {
        double sum = 0;
        long exact = Math.Min(count, Exact);
        for (long rank = 1; rank <= exact; rank++) sum += Math.Pow(rank, -theta);
        if (count > exact) sum += (Math.Pow(count + 0.5, 1 - theta) - Math.Pow(exact + 0.5, 1 - theta)) / (1 - theta);
        return sum;
    }
}
