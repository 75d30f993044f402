import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Signs in two threads with the key "java" of a token, until standard input ends.
 * Arguments: SunPKCS11's configuration, the PIN. For each line of standard input it
 * waits for 20 more signatures and prints how many there were and how many failed.
 *
 * The digest is made here and the signature in one part: an operation in several
 * parts that is under way when the server ends is rightly lost.
 */
public class Signer {
    static final AtomicInteger good = new AtomicInteger(), failed = new AtomicInteger();

    public static void main(String[] args) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11").configure(args[0]);
        Security.addProvider(provider);
        KeyStore store = KeyStore.getInstance("PKCS11", provider);
        store.load(null, args[1].toCharArray());
        PrivateKey key = (PrivateKey) store.getKey("java", null);
        // Verified outside of the token.
        byte[] encoded = store.getCertificate("java").getPublicKey().getEncoded();
        PublicKey pub = KeyFactory.getInstance("EC", "SunEC").generatePublic(new X509EncodedKeySpec(encoded));
        for (int i = 0; i < 2; i++) {
            Thread thread = new Thread(() -> sign(provider, key, pub));
            thread.setDaemon(true);
            thread.start();
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        while (in.readLine() != null) {
            int wanted = good.get() + 20;
            long end = System.nanoTime() + 20_000_000_000L;
            while (good.get() < wanted && failed.get() == 0 && System.nanoTime() < end)
                Thread.sleep(1);
            System.out.println(good.get() + " signed, " + failed.get() + " failed");
        }
    }

    static void sign(Provider provider, PrivateKey key, PublicKey pub) {
        for (int n = 0;; n++) {
            try {
                byte[] digest = MessageDigest.getInstance("SHA-256", "SUN").digest(("message " + n).getBytes(StandardCharsets.UTF_8));
                Signature signer = Signature.getInstance("NONEwithECDSA", provider);
                signer.initSign(key);
                signer.update(digest);
                byte[] signature = signer.sign();
                Signature verifier = Signature.getInstance("NONEwithECDSA", "SunEC");
                verifier.initVerify(pub);
                verifier.update(digest);
                if (!verifier.verify(signature))
                    throw new Exception("the signature is wrong");
                good.incrementAndGet();
            } catch (Exception e) {
                failed.incrementAndGet();
                e.printStackTrace();
                return;
            }
        }
    }
}
